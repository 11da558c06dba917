/**
 * What one row of the option table may say, and the type that its value has.
 *
 * The rows themselves are in the `options-*.ts` files and together in `options.ts`; how a value is read, checked and written is
 * `kinds.ts`; which of the sources wins is `resolve.ts`.
 */

/** The value that an option of each kind has once it was read: bytes, bytes per second and milliseconds are plain numbers. */
export interface KindValues {
  readonly text: string
  readonly integer: number
  readonly port: number
  readonly bytes: number
  readonly rate: number
  readonly duration: number
  readonly boolean: boolean
  readonly choice: string
  readonly ip: string
  /** HOST:PORT to listen at. */
  readonly address: string
  readonly path: string
  readonly 'host-list': readonly string[]
  readonly 'path-list': readonly string[]
  readonly tags: Readonly<Record<string, string>>
  readonly 'handler-list': readonly string[]
}

/** How an option is written and checked. */
export type Kind = keyof KindValues

/** The part of the reference that an option stands in. */
export type Group =
  | 'Node'
  | 'Addresses'
  | 'Membership'
  | 'Gossip'
  | 'Store and destinations'
  | 'Swarm'
  | 'Multicast'
  | 'Sources'
  | 'Deliveries'
  | 'Logs'

/** A default that depends on the machine or on another option; `resolve.ts` computes it, this says it in words. */
export interface ComputedDefault {
  readonly computed: string
}

/** One option: everything that flags, validation, `--print-config` and the reference need to know of it. */
export interface OptionRow {
  readonly group: Group
  /** The key in the file; `--KEY` as a flag (unless `flag` names it) and `POLYCAST_KEY` in the environment come from it. */
  readonly key: string
  readonly kind: Kind
  readonly default: string | number | boolean | readonly string[] | Readonly<Record<string, string>> | ComputedDefault
  /** Bounds, both inclusive, in the unit of the kind. */
  readonly min?: number
  readonly max?: number
  /** True where 0 is allowed below `min` and means none or unlimited. */
  readonly zeroIsNone?: boolean
  /** True where an empty text (or path) is allowed and means none. */
  readonly emptyIsNone?: boolean
  readonly choices?: readonly string[]
  /** What a text must match, and how that is said. */
  readonly pattern?: string
  readonly patternText?: string
  /** The flag's name where one value is given at a time: `tag` for `tags`. */
  readonly flag?: string
  /** What stands for the value in help: `PORT`. */
  readonly placeholder?: string
  /** One line, for `--help`. */
  readonly summary: string
  /** What it is, what grows and what shrinks when it is raised, and when to touch it. */
  readonly doc: string
}

/** The value type of a row: a choice is one of its choices, anything else what its kind says. */
export type ValueOf<Row> = Row extends { readonly kind: 'choice'; readonly choices: readonly (infer Choice)[] }
  ? Choice
  : Row extends { readonly kind: infer K extends Kind }
    ? KindValues[K]
    : never
