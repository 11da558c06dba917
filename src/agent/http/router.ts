/** Finds the route of a request, and what stands for `{name}` in its path. */
import { fail } from '../errors.ts'
import type { Route } from './route.ts'

/** The routes by method, as lists of the parts of their paths. */
export class Router {
  readonly #routes: readonly { readonly route: Route; readonly parts: readonly string[] }[]

  constructor(routes: readonly Route[]) {
    this.#routes = routes.map((route) => ({ route, parts: route.path.split('/') }))
  }

  /** Errors: route-not-found, bad-request (a part of the path is no UTF-8). */
  find(method: string, pathname: string): { route: Route; path: Record<string, string> } {
    const given = pathname.split('/')
    for (const { route, parts } of this.#routes) {
      if (route.method !== method || parts.length !== given.length) continue
      const path = match(parts, given)
      if (path !== undefined) return { route, path }
    }
    throw fail('route-not-found', { method: method.slice(0, 16), path: pathname.slice(0, 200) })
  }
}

function match(parts: readonly string[], given: readonly string[]): Record<string, string> | undefined {
  const path: Record<string, string> = {}
  for (const [index, part] of parts.entries()) {
    const text = given[index] ?? ''
    if (!part.startsWith('{')) {
      if (part !== text) return undefined
      continue
    }
    if (text === '') return undefined
    try {
      path[part.slice(1, -1)] = decodeURIComponent(text)
    } catch (error) {
      throw fail('bad-request', { reason: 'its path is not percent-encoded UTF-8' }, error)
    }
  }
  return path
}
