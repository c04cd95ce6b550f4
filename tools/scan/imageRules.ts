/** True for an image reference without a tag or with one that moves, and without a digest. */
export function isMovingTag(image: string): boolean {
  if (image.includes('@sha256:') || image.includes('$')) return false
  const name = image.slice(image.lastIndexOf('/') + 1)
  const tag = name.includes(':') ? name.slice(name.indexOf(':') + 1) : ''
  return tag === '' || tag === 'latest'
}

/** True when a variable is named like a secret and has a value of its own, not one that comes from elsewhere. */
export function namesSecret(name: string, value: unknown): boolean {
  const text = typeof value === 'string' ? value.replace(/^["']|["']$/g, '') : ''
  if (text === '' || /[$<{]|^(changeme|change-me|true|false|none|null|example|dummy|test|\d{1,3})$/i.test(text)) return false
  return /(PASSWORD|PASSWD|SECRET|_TOKEN|^TOKEN|API_?KEY|PRIVATE_?KEY|ACCESS_?KEY)$/i.test(name)
}
