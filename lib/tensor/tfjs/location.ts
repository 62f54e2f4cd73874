/**
 * Where TensorFlow's addon for tfjs is: the folder that `deno task install-tfjs-node` fills.
 */
import { join } from "node:path";
import { cacheFolder } from "../torch/location.ts";

/** Symbol under which the addon's JavaScript finds our tfjs. */
export const BRIDGE = "rlvr-world.tfjs";

/** What people are told who ask for TensorFlow. */
export const NOT_INSTALLED = "tfjs: the tensorflow backend is not installed: run deno task install-tfjs-node";

/** What `installed.json` says. */
export interface Installation {
  /** The folder of TensorFlow's libraries. */
  tensorflow: string;
}

/** Where the package is installed. */
export function installationFolder(cache: string = cacheFolder()): string {
  return join(cache, "tfjs-node");
}

/** The installation that is there, if it is whole. */
export function findInstallation(cache?: string): Installation | undefined {
  try {
    return JSON.parse(Deno.readTextFileSync(join(installationFolder(cache), "installed.json")));
  } catch {
    return undefined;
  }
}
