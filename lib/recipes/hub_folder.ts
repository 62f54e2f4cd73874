/** Models and data named by their place on the hub, fetched with a progress line. */
import { type HubOptions, resolveFolder } from "../io/hub.ts";
import { isHubName } from "../io/hub_name.ts";
import type { Progress } from "../runs/progress.ts";

/**
 * The folder of a model or data set: a path as it is; `hub:` names are fetched, which `progress` shows as a stage.
 *
 * @throws {UserError} When the hub has nothing of that name, or cannot be reached and the cache has no copy.
 */
export async function resolveWithProgress(
  pathOrName: string,
  progress: Progress,
  options: Omit<HubOptions, "onProgress"> = {},
): Promise<string> {
  if (!isHubName(pathOrName)) return pathOrName;
  let isShown = false;
  try {
    return await resolveFolder(pathOrName, {
      ...options,
      onProgress: ({ file, received, total }) => {
        if (!isShown) progress.stage(`fetch ${pathOrName}`, megabytes(total), { unit: "MB" });
        isShown = true;
        progress.step(megabytes(received), { file });
      },
    });
  } finally {
    if (isShown) progress.done();
  }
}

function megabytes(bytes: number): number {
  return Math.ceil(bytes / 1e6);
}
