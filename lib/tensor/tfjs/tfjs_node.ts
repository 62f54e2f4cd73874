/**
 * Loading `@tensorflow/tfjs-node-gpu` from the folder that `deno task install-tfjs-node` fills.
 */
import { UserError } from "../../files/user_error.ts";

/** What was loaded. */
export interface TfjsNode {
  /** TensorFlow's version. */
  tensorflow: string;
  usesGpu: boolean;
}

/**
 * Registers the `tensorflow` backend with tfjs.
 *
 * @throws {UserError} When it has not been installed.
 */
export function loadTfjsNode(): Promise<TfjsNode> {
  return Promise.reject(
    new UserError("tfjs: the tensorflow backend is not installed: run `deno task install-tfjs-node`"),
  );
}
