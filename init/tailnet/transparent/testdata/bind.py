"""Binds as gloo and NCCL do, and tells what a program sees of it."""
import socket
import sys

eth = "192.0.2.2"


def serve(address, family=socket.AF_INET):
    s = socket.socket(family)
    s.bind(address)
    name = s.getsockname()  # before listen, as NCCL asks
    s.listen()
    assert s.getsockname() == name, (s.getsockname(), name)
    return s, name


def echo(s, to):
    c = socket.create_connection(to, 5)
    d, _ = s.accept()
    c.sendall(b"hello")
    assert d.recv(5) == b"hello"
    return c


# A port of the kernel's choice on the interface: others are told the tailnet's address. Twice
# from the same place in memory, as a program does that keeps its address.
names = set()
for _ in range(3):
    s, name = serve((eth, 0))
    assert name[0] == "100.64.0.1" and name[1] > 0, name
    c = echo(s, name)  # a neighbour in the box, by that address
    assert c.getpeername() == name, c.getpeername()
    names.add(name)
assert len(names) == 3, names
s, name = serve(("::ffff:" + eth, 0), socket.AF_INET6)
assert name[0] == "::ffff:100.64.0.1", name
echo(s, ("100.64.0.1", name[1]))

# The tailnet's own address.
s, name = serve(("100.64.0.1", 8123))
assert name == ("100.64.0.1", 8123), name
echo(s, name)
s, name = serve(("100.64.0.1", 0))
assert name[0] == "100.64.0.1" and name[1] > 0, name
echo(s, name)

# Everywhere: reached by the tailnet's address as well.
s, name = serve(("", 8124))
assert name == ("0.0.0.0", 8124), name
echo(s, ("100.64.0.1", 8124))

# What says its port, and loopback, are as ever.
s, name = serve((eth, 8125))
assert name == (eth, 8125), name
s, name = serve(("127.0.0.1", 0))
assert name[0] == "127.0.0.1", name
echo(s, name)
try:
    socket.create_connection(("100.64.0.1", 8126), 5)
except ConnectionRefusedError:
    print("refused")

# Bound first and connected elsewhere: the kernel's answer.
b = socket.socket()
b.bind((eth, 0))
b.connect(("127.0.0.1", name[1]))
assert b.getsockname()[0] == eth, b.getsockname()

# Datagrams in the box.
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("100.64.0.1", 8127))
v = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
v.sendto(b"hello", ("100.64.0.1", 8127))
assert u.recv(9) == b"hello"
print("ok")
