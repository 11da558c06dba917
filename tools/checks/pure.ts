/**
 * Runs the test files given as arguments in this one process, one after the other: what starts in a millisecond should not cost a
 * process. A file that cannot be loaded is a failed test, and the others still run.
 */
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'

for (const file of process.argv.slice(2)) {
  try {
    await import(pathToFileURL(file).href)
  } catch (error) {
    void test(`${file} loads`, () => {
      throw error
    })
  }
}
