/**
 * What the page and the server say to each other: one JSON object a message, every request answered by exactly one message, in
 * order. Whatever comes in is checked here; what is wrong becomes a message, never a broken connection.
 */

/** What a player asks for. */
export type PlayRequest =
  | { type: "reset"; start: number; seed: number }
  | { type: "step"; action: number[] }
  | { type: "save"; format: "gif" | "npz"; framesPerSecond: number };

/** Characters of a message at most: an action of a thousand numbers fits. */
const LONGEST = 32_768;

/**
 * Reads a message.
 *
 * @param data What the socket gave.
 * @throws {RangeError} When it is no request; the message is for the player.
 */
export function parseRequest(data: unknown): PlayRequest {
  if (typeof data !== "string") throw new RangeError("a message must be JSON text: received binary data");
  if (data.length > LONGEST) {
    throw new RangeError(`a message has at most ${LONGEST} characters: received ${data.length}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    throw new RangeError(`a message must be JSON: received ${quoted(data)}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new RangeError(`a message must be an object with a type: received ${quoted(value)}`);
  }
  const fields = value as Record<string, unknown>;
  switch (fields.type) {
    case "reset":
      return { type: "reset", start: wholeNumber(fields, "start"), seed: wholeNumber(fields, "seed") };
    case "step": {
      const { action } = fields;
      if (!Array.isArray(action) || !action.every((each) => typeof each === "number")) {
        throw new RangeError(`action must be a list of numbers: received ${quoted(action)}`);
      }
      return { type: "step", action };
    }
    case "save": {
      const { format, framesPerSecond } = fields;
      if (format !== "gif" && format !== "npz") {
        throw new RangeError(`format must be gif or npz: received ${quoted(format)}`);
      }
      if (typeof framesPerSecond !== "number" || !(framesPerSecond >= 1 && framesPerSecond <= 50)) {
        throw new RangeError(`framesPerSecond must be in 1..50: received ${quoted(framesPerSecond)}`);
      }
      return { type: "save", format, framesPerSecond };
    }
    default:
      throw new RangeError(`type must be reset, step or save: received ${quoted(fields.type)}`);
  }
}

function wholeNumber(fields: Record<string, unknown>, name: string): number {
  const value = fields[name];
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > 0xffffffff) {
    throw new RangeError(`${name} must be a whole number in 0..${0xffffffff}: received ${quoted(value)}`);
  }
  return value;
}

function quoted(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
