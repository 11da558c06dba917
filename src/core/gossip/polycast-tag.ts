/** How a Polycast node is told from an agent of Serf alone. A file of its own, so that who asks for this need not load the machines. */

/** The tag by which a member is known to be a Polycast node; its value is the swarm port. */
export const POLYCAST_TAG = 'polycast'

/** Whether a member speaks more than Serf. */
export function isPolycast(member: { readonly tags: ReadonlyMap<string, string> }): boolean {
  return member.tags.has(POLYCAST_TAG)
}
