/** `--site` of the commands that open web sites. */
import { UserError } from "../lib/base/user_error.ts";

/** Addresses as given. @throws {UserError} When one is no address of the web. */
export function siteAddresses(given: readonly string[]): readonly string[] {
  for (const site of given) {
    if (!/^https?:$/.test(URL.parse(site)?.protocol ?? "")) {
      throw new UserError(`--site must be an address like http://localhost:8080/: received "${site}"`);
    }
  }
  return given;
}
