/**
 * As much of ZeroMQ as a Jupyter client needs, over plain TCP: ZMTP 3.0 without security, sockets DEALER and SUB, one peer,
 * no reconnecting. Specification: https://rfc.zeromq.org/spec/23/
 */

const MORE = 1, LONG = 2, COMMAND = 4;

/** Greeting: signature, version 3.0, mechanism NULL, not a server, filler; 64 bytes. */
const GREETING = (() => {
  const bytes = new Uint8Array(64);
  bytes[0] = 0xff;
  bytes[9] = 0x7f;
  bytes[10] = 3;
  bytes.set(new TextEncoder().encode("NULL"), 12);
  return bytes;
})();

/** A frame above this is not believed: a corrupted length must not be allocated. */
const MAX_FRAME = 1 << 30;

/** One connected socket. Messages are lists of frames. */
export class ZmtpSocket {
  readonly #connection: Deno.TcpConn;
  readonly #reader: ByteReader;
  #lastWrite: Promise<unknown> = Promise.resolve();

  private constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
    this.#reader = new ByteReader(connection);
  }

  /**
   * Connects to a listening socket; a SUB socket subscribes to everything.
   *
   * @throws {Deno.errors.ConnectionRefused} when nobody listens yet.
   */
  static async connect(kind: "DEALER" | "SUB", hostname: string, port: number): Promise<ZmtpSocket> {
    const connection = await Deno.connect({ hostname, port });
    try {
      connection.setNoDelay(true);
      const socket = new ZmtpSocket(connection);
      await socket.#write(GREETING);
      await socket.#reader.take(GREETING.length);
      await socket.#write(encodeFrame(readyCommand(kind), COMMAND));
      await socket.#readFrame();
      if (kind === "SUB") await socket.#write(encodeFrame(Uint8Array.of(1), 0));
      return socket;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /** Sends one message. */
  async send(frames: readonly Uint8Array[]): Promise<void> {
    await this.#write(concatenate(frames.map((body, i) => encodeFrame(body, i < frames.length - 1 ? MORE : 0))));
  }

  /**
   * Waits for one message.
   *
   * @throws {Error} when the peer is gone or what it sent is not ZMTP.
   */
  async receive(): Promise<Uint8Array[]> {
    const frames: Uint8Array[] = [];
    while (true) {
      const { flags, body } = await this.#readFrame();
      if (flags & COMMAND) continue;
      frames.push(body);
      if (!(flags & MORE)) return frames;
    }
  }

  /** Closes the connection; a waiting `receive` fails. */
  close(): void {
    this.#connection.close();
  }

  async #readFrame(): Promise<{ flags: number; body: Uint8Array }> {
    const [flags] = await this.#reader.take(1);
    if (flags & ~(MORE | LONG | COMMAND)) throw new Error(`the kernel sent a frame with unknown flags (${flags})`);
    const head = await this.#reader.take(flags & LONG ? 8 : 1);
    const length = flags & LONG ? Number(new DataView(head.buffer, head.byteOffset).getBigUint64(0)) : head[0];
    if (length > MAX_FRAME) throw new Error(`the kernel announced a frame of ${length} bytes`);
    return { flags, body: await this.#reader.take(length) };
  }

  /** Writes follow one another: two messages must not mix their bytes. */
  #write(bytes: Uint8Array): Promise<void> {
    const write = this.#lastWrite.then(async () => {
      for (let done = 0; done < bytes.length;) done += await this.#connection.write(bytes.subarray(done));
    });
    this.#lastWrite = write.catch(() => {});
    return write;
  }
}

/** Exact numbers of bytes from a stream. */
class ByteReader {
  readonly #connection: Deno.TcpConn;
  readonly #buffer = new Uint8Array(1 << 16);
  #start = 0;
  #end = 0;

  constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
  }

  async take(count: number): Promise<Uint8Array> {
    const out = new Uint8Array(count);
    for (let filled = 0; filled < count;) {
      if (this.#start === this.#end) {
        const read = await this.#connection.read(this.#buffer);
        if (read === null) throw new Error("the kernel closed the connection");
        this.#start = 0;
        this.#end = read;
      }
      const part = this.#buffer.subarray(this.#start, Math.min(this.#end, this.#start + count - filled));
      out.set(part, filled);
      filled += part.length;
      this.#start += part.length;
    }
    return out;
  }
}

function encodeFrame(body: Uint8Array, flags: number): Uint8Array {
  const long = body.length > 255;
  const frame = new Uint8Array((long ? 9 : 2) + body.length);
  frame[0] = flags | (long ? LONG : 0);
  if (long) new DataView(frame.buffer).setBigUint64(1, BigInt(body.length));
  else frame[1] = body.length;
  frame.set(body, long ? 9 : 2);
  return frame;
}

/** READY with the one property that peers check: Socket-Type. */
function readyCommand(kind: string): Uint8Array {
  const text = (value: string) => new TextEncoder().encode(value);
  const name = text("Socket-Type"), value = text(kind);
  return concatenate([
    Uint8Array.of(5),
    text("READY"),
    Uint8Array.of(name.length),
    name,
    Uint8Array.of(0, 0, 0, value.length),
    value,
  ]);
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    out.set(part, offset);
    offset += part.length;
  }
  return out;
}
