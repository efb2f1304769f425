// Connects with Node, 200 connections at once.
import net from 'node:net'

const echo = (i) => new Promise((resolve, reject) => {
  const c = net.connect(80, '100.64.0.2', () => c.end(`hello ${i}`))
  let got = ''
  c.on('data', (b) => { got += b })
  c.on('error', reject)
  c.on('end', () => got === `hello ${i}` ? resolve(c.remoteAddress) : reject(new Error(got)))
})
await Promise.all(Array.from({ length: 200 }, (_, i) => echo(i)))
await new Promise((resolve) => net.connect(81, '100.64.0.2').on('error', (e) => { console.log(e.code); resolve() }))
