/**
 * A value from elsewhere as a message quotes it: its JSON, cut; only its kind where it nests deeper than JSON is written;
 * `nothing` where there is none.
 *
 * @param limit Characters at most.
 */
export function shownValue(value: unknown, limit = 60): string {
  if (value === undefined) return "nothing";
  try {
    // 64-bit integers come as bigint.
    const text = JSON.stringify(value, (_, each) => typeof each === "bigint" ? Number(each) : each);
    return (text ?? typeof value).slice(0, limit);
  } catch {
    return Array.isArray(value) ? "a list" : "an object";
  }
}
