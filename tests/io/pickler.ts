/** Just enough of a pickler to write hostile checkpoints. Protocol 2. */
export const P = {
  text: (s: string) => "X" + P.int(s.length).slice(1) + s,
  int: (n: number) => "J" + String.fromCharCode(n & 255, (n >> 8) & 255, (n >> 16) & 255, (n >> 24) & 255),
  tuple: (...items: string[]) => "(" + items.join("") + "t",
  dict: (...items: string[]) => "}(" + items.join("") + "u",
  storage: (key: string, elements: number, type = "FloatStorage") =>
    P.tuple(P.text("storage"), `ctorch\n${type}\n`, P.text(key), P.text("cpu"), P.int(elements)) + "Q",
  tensor: (storage: string, offset: number, shape: number[], strides: number[]) =>
    "ctorch._utils\n_rebuild_tensor_v2\n" +
    P.tuple(storage, P.int(offset), P.tuple(...shape.map(P.int)), P.tuple(...strides.map(P.int)), "\x89", "}") + "R",
  file: (body: string) => Uint8Array.from(`\x80\x02${body}.`, (c) => c.charCodeAt(0)),
};
