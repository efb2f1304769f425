"""Connects with asyncio, 200 connections at once, and with a timeout to where nobody is."""
import asyncio
import errno
import socket
import sys


async def echo(i):
    r, w = await asyncio.open_connection("100.64.0.2", 80)
    w.write(b"hello %d\n" % i)
    line = await r.readline()
    assert line == b"hello %d\n" % i, line
    assert w.get_extra_info("peername") == ("100.64.0.2", 80)
    w.close()
    await w.wait_closed()


async def main():
    await asyncio.gather(*(echo(i) for i in range(200)))
    try:
        await asyncio.open_connection("100.64.0.2", 81)
    except ConnectionRefusedError:
        print("refused")
    s = socket.socket()
    print("blocking", errno.errorcode[s.connect_ex(("100.64.0.2", 81))])
    u = socket.socket(socket.AF_UNIX)
    print("unix", errno.errorcode[u.connect_ex("/nonexistent/socket/of/that/length")])


asyncio.run(main())
