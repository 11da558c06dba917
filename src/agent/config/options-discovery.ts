/** Options of discovery: how agents on one network find each other without being told an address. */

/** Rows of the group Discovery. */
export const DISCOVERY_OPTIONS = {
  isDiscovering: {
    group: 'Discovery',
    key: 'discovery',
    kind: 'boolean',
    default: { computed: 'true unless bind is a loopback address' },
    summary: 'find and join agents of the same cluster on the networks of this machine',
    doc: 'Announces this node on the networks that it is on, by DNS-SD (multicast to port 5353, so that avahi-browse and the like see it as _polycast._tcp) and by broadcast beacons where multicast is filtered, looks for others, and joins those that have the same cluster and the same keys of gossip. Two clusters of one name that were started apart become one by it. It does nothing while bind is a loopback address, whatever it is set to. Turn it off where nodes are to meet by join alone, or where two clusters of one name and key share a network and are to stay apart.',
  },
  cluster: {
    group: 'Discovery',
    key: 'cluster',
    kind: 'text',
    default: 'polycast',
    pattern: '^[A-Za-z0-9._-]{1,63}$',
    patternText: '1 to 63 letters, digits, dots, hyphens and underscores',
    placeholder: 'NAME',
    summary: 'name of the cluster whose agents discovery joins',
    doc: 'Discovery joins agents of the same cluster alone; those with another gossip-label or other keys of gossip are none. Give each cluster a name of its own where several share a network. The name is announced in the clear and keeps accidents away, not attackers: that is what keys do. It does not matter for addresses of join.',
  },
  discoveryPort: {
    group: 'Discovery',
    key: 'discovery-port',
    kind: 'port',
    default: 7950,
    min: 1,
    summary: 'UDP port of the beacons that discovery broadcasts',
    doc: 'The port that beacons go to and are heard at, the same on all agents of a cluster; several agents of one machine share it. Change it where a firewall or another program has it.',
  },
  serfDiscover: {
    group: 'Discovery',
    key: 'serf-discover',
    kind: 'text',
    default: '',
    emptyIsNone: true,
    pattern: '^[A-Za-z0-9-]{1,57}$',
    patternText: '1 to 57 letters, digits and hyphens',
    placeholder: 'NAME',
    summary: 'find agents of Serf that were started with -discover=NAME, and be found by them',
    doc: "Announces this node as Serf's agents announce themselves with -discover=NAME (mDNS, service _serf_NAME._tcp), looks for such agents every minute, and joins them. It knows of no keys: whoever answers to the name is tried, and joins if its gossip can be understood. Like discovery it does nothing while bind is a loopback address. Without it, agents of Serf are joined by join alone.",
  },
} as const
