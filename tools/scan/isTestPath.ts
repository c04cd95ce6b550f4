const FOLDER = /(^|\/)(tests?|__tests__|spec|specs|testing|e2e|cypress|test-[^/]+|[^/]+-tests?)\//i
const NAME =
  /(^|\/)(test_[^/]+\.py|conftest\.py|[^/]+[._-](test|tests|spec)\.[^/.]+|[^/]+(Test|Tests|TestCase|IT|Spec)\.(java|kt|cs|scala|groovy|swift|php))$/

/** Tests by the conventions of the common languages; only the path is looked at. */
export function isTestPath(path: string): boolean {
  return FOLDER.test(path) || NAME.test(path)
}
