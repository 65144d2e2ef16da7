// A worker process's view of the process that started it: one line of JSON on standard input, and then
// silence for as long as the parent lives.
import process from 'node:process'

/** `gone` is called when the parent is: also when it could not say so. */
export function openParent(gone: () => void): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>()
  let text = ''
  let isRead = false
  process.stdin.setEncoding('utf8')
  process.stdin.on('data', (chunk: string) => {
    if (isRead) return
    text += chunk
    const end = text.indexOf('\n')
    if (end < 0) return
    isRead = true
    try {
      resolve(JSON.parse(text.slice(0, end)))
    } catch (error) {
      reject(error)
    }
  })
  for (const event of ['end', 'close', 'error']) process.stdin.on(event, gone)
  return promise
}
