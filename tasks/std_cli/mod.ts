/** The part of `jsr:@std/cli` that this project uses; see `parse_args.ts`. */
export { type Args, parseArgs, type ParseOptions } from "./parse_args.ts";
