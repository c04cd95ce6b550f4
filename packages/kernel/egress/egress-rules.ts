import { domainToASCII } from 'node:url'
import { SomaError } from '@soma/contracts/errors'
import ipaddr from 'ipaddr.js'

type Address = ipaddr.IPv4 | ipaddr.IPv6

export interface EgressRuleOptions {
  /**
   * Exceptions from the rule that only public addresses may be reached: an address, a CIDR range, or `host:port`. A cloud metadata
   * endpoint is opened only by its own address, never by a range around it.
   */
  allowPrivate: readonly string[]
  /** When given, no other hosts may be reached. `*.example.com` covers every name below `example.com`. */
  allowHosts?: readonly string[]
  /** Hosts that are refused whatever else is allowed. */
  denyHosts?: readonly string[]
}

/** Pure rules: they look at a URL or an address and throw `egress_blocked`, or return. */
export interface EgressRules {
  /** What the URL itself tells: scheme, credentials, host lists, and the address when the host is one. */
  checkUrl(url: URL): void
  /** One address that `host` leads to. Every address of a host must pass. */
  checkAddress(address: string, host: string, port: number): void
  /** True when an administrator opened this private address, or this name and port: a fact for policy, which closes them otherwise. */
  isException(host: string, port: number): boolean
}

/** Addresses at which clouds hand out credentials. Most lie in private ranges anyway; Azure's does not. */
const METADATA = new Set([
  '169.254.169.254', // AWS, Google, Azure, DigitalOcean, OpenStack
  '169.254.170.2', // AWS ECS
  '169.254.170.23', // AWS EKS
  'fd00:ec2::254',
  'fd00:ec2::23',
  'fd20:ce::254', // Google
  '100.100.100.200', // Alibaba
  '168.63.129.16', // Azure
  '192.0.0.192', // Oracle
])

/** All that IANA has given out for the public IPv6 internet. What is outside is special, known to a list or not. */
const PUBLIC_IPV6 = ipaddr.IPv6.parseCIDR('2000::/3')

/** @throws invalid_input for an entry that is neither address, range, host nor `host:port` */
export function egressRules(options: EgressRuleOptions): EgressRules {
  const privateAllowed = options.allowPrivate.map(parseException)
  const allowHosts = options.allowHosts?.map(hostPattern)
  const denyHosts = (options.denyHosts ?? []).map(hostPattern)

  return {
    checkUrl(url) {
      const host = hostOf(url)
      if (!isWeb(url)) throw blocked(host, 'scheme', `The scheme ${url.protocol} is not allowed, only http: and https:.`)
      if (url.username || url.password) {
        throw blocked(host, 'credentials', 'A URL must not carry a user name or password. Send an Authorization header instead.')
      }
      if (denyHosts.some((covers) => covers(host))) throw blocked(host, 'deny_hosts', `The host ${host} is on the list of denied hosts.`)
      if (allowHosts && !allowHosts.some((covers) => covers(host))) {
        throw blocked(host, 'allow_hosts', `The host ${host} is not on the list of allowed hosts. An administrator can add it.`)
      }
      if (ipaddr.isValid(host)) this.checkAddress(host, host, portOf(url))
    },
    isException(host, port) {
      const address = ipaddr.isValid(host) ? ipaddr.parse(host) : undefined
      const rule = address ? (specialRange(address) ?? '') : ''
      return privateAllowed.some((covers) => covers(address, rule, host, port))
    },
    checkAddress(text, host, port) {
      const address = ipaddr.parse(text)
      const rule = specialRange(address)
      if (!rule) return
      if (privateAllowed.some((covers) => covers(address, rule, host, port))) return
      throw blocked(
        host,
        rule,
        `${host === text ? host : `${host} leads to ${text}, which`} is not a public address (${rule.replaceAll('_', ' ')}). If it is meant, an administrator can allow ${joinPort(host, port)}.`,
        text,
      )
    },
  }
}

/** The host without brackets and without the dot that only says the name is complete. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
}

export function portOf(url: URL): number {
  return url.port ? Number(url.port) : url.protocol === 'https:' ? 443 : 80
}

export function blocked(host: string, rule: string, sentence: string, address?: string): SomaError {
  return new SomaError('egress_blocked', sentence, { host, rule, ...(address && { address }) })
}

function isWeb(url: URL): boolean {
  return url.protocol === 'http:' || url.protocol === 'https:'
}

/** Why an address is not a public one, undefined when it is. */
function specialRange(address: Address): string | undefined {
  if (isMetadata(address)) return 'metadata'
  const range = address.range()
  if (range !== 'unicast') return RANGE_NAMES[range] ?? range.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
  return isIPv6(address) && !address.match(PUBLIC_IPV6) ? 'reserved' : undefined
}

/** The library's names that would tell a reader nothing. */
const RANGE_NAMES: Record<string, string> = { rfc6052: 'nat64', rfc6145: 'ipv4_translated', ipv4Mapped: 'ipv4_mapped' }

function isMetadata(address: Address): boolean {
  return METADATA.has(address.toString()) || (isIPv6(address) && address.isIPv4MappedAddress() && isMetadata(address.toIPv4Address()))
}

function isIPv6(address: Address): address is ipaddr.IPv6 {
  return address.kind() === 'ipv6'
}

/** Without an address, only the name and port are compared. */
type Exception = (address: Address | undefined, rule: string, host: string, port: number) => boolean

function parseException(entry: string): Exception {
  if (ipaddr.isValidCIDR(entry) || ipaddr.isValid(entry)) {
    const [network, bits] = entry.includes('/') ? ipaddr.parseCIDR(entry) : single(ipaddr.parse(entry))
    const isExact = bits === (network.kind() === 'ipv6' ? 128 : 32)
    return (address, rule) =>
      address?.kind() === network.kind() && (rule !== 'metadata' || isExact) && address.match(network as ipaddr.IPv6, bits)
  }
  const [, name = '', digits = ''] = /^(.+):(\d{1,5})$/.exec(entry) ?? []
  const allowedHost = canonicalHost(name)
  const allowedPort = Number(digits)
  if (!allowedHost || allowedPort < 1 || allowedPort > 65_535) {
    throw new SomaError('invalid_input', `"${entry}" can not be allowed: write an address, a range such as 10.1.0.0/16, or host:port.`, {
      entry,
    })
  }
  return (address, rule, host, port) =>
    host === allowedHost && port === allowedPort && (rule !== 'metadata' || address?.toString() === allowedHost)
}

function single(address: Address): [Address, number] {
  return [address, address.kind() === 'ipv6' ? 128 : 32]
}

function hostPattern(entry: string): (host: string) => boolean {
  const isWildcard = entry.startsWith('*.')
  const name = canonicalHost(isWildcard ? entry.slice(2) : entry)
  if (!name)
    throw new SomaError('invalid_input', `"${entry}" is not a host. Write example.com, or *.example.com for all names below.`, { entry })
  return isWildcard ? (host) => host.endsWith(`.${name}`) : (host) => host === name
}

/** The spelling that `hostOf` gives for the same host, so that the two compare. Undefined for what is not a host. */
function canonicalHost(name: string): string | undefined {
  const text = ipaddr.IPv6.isValid(name) ? `[${name}]` : name
  if (!text.startsWith('[') && !domainToASCII(text)) return undefined
  if (/[/@?#*\\\s]|:\d*$/.test(text.replace(/^\[.*\]$/, ''))) return undefined
  return URL.canParse(`http://${text}`) ? hostOf(new URL(`http://${text}`)) : undefined
}

function joinPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
