/** Options of what is sent to many at once: whether, where, and how far. */

/** Rows of the group Multicast that all of it has in common. */
export const MULTICAST_OPTIONS = {
  multicast: {
    group: 'Multicast',
    key: 'multicast',
    kind: 'boolean',
    default: { computed: 'true unless bind is a loopback address' },
    summary: 'use multicast where the network carries it; --no-multicast for never',
    doc: 'Whether this node finds out by small beacons who is reached by multicast, and uses that for what goes to several of them. Where multicast does not get through, everything goes by the swarm without anybody asking for it, so that there is seldom a reason to turn this off: do it where the beacons (about 50 small packets a second in a whole LAN) are unwanted. Polycast doctor tells what gets through.',
  },
  multicastPort: {
    group: 'Multicast',
    key: 'multicast-port',
    kind: 'port',
    default: 7949,
    min: 1,
    placeholder: 'PORT',
    summary: 'UDP port of the beacons of multicast, the same on all nodes',
    doc: 'The UDP port to which beacons are sent, by multicast and by broadcast. All nodes of a LAN need the same one; several agents of one machine share it. Firewalls have to let it in.',
  },
  multicastTtl: {
    group: 'Multicast',
    key: 'multicast-ttl',
    kind: 'integer',
    default: 1,
    min: 1,
    max: 255,
    summary: 'how far multicast goes: 1 stays in the LAN, each router takes one off',
    doc: 'The time to live of what is sent by multicast. With 1 it never leaves the LAN. Raise it where routers between your networks forward multicast and all of these networks are yours: what is sent then reaches every one of them.',
  },
} as const
