import assert from "node:assert/strict";
import { join } from "node:path";
import { UserError } from "../../lib/base/user_error.ts";
import { readNotebook, writeNotebook } from "../../lib/notebooks/notebook_file.ts";

async function withFile(text: string, check: (path: string) => Promise<void>) {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "a.ipynb");
    await Deno.writeTextFile(path, text);
    await check(path);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** As JupyterLab saves it: one space, lists of lines, a newline at the end. */
const JUPYTER = `{
 "cells": [
  {
   "cell_type": "code",
   "execution_count": 1,
   "id": "c0ffee",
   "metadata": {
    "tags": []
   },
   "outputs": [
    {
     "name": "stdout",
     "output_type": "stream",
     "text": [
      "one\\n",
      "two"
     ]
    },
    {
     "data": {
      "image/png": "AAAA",
      "text/html": [
       "<b>\\n",
       "</b>"
      ]
     },
     "metadata": {},
     "output_type": "display_data"
    }
   ],
   "source": [
    "console.log(1)\\n",
    "2"
   ]
  }
 ],
 "metadata": {
  "kernelspec": {
   "name": "deno"
  }
 },
 "nbformat": 4,
 "nbformat_minor": 5
}
`;

Deno.test("reading and writing a notebook changes no byte of what Jupyter wrote", async () => {
  await withFile(JUPYTER, async (path) => {
    await writeNotebook(path, await readNotebook(path));
    assert.equal(await Deno.readTextFile(path), JUPYTER);
  });
});

Deno.test("text of a run is cut into lines, images are not", async () => {
  await withFile(JUPYTER, async (path) => {
    const notebook = await readNotebook(path);
    const [stream, shown] = notebook.cells[0].outputs!;
    Object.assign(stream, { text: "one\ntwo" });
    notebook.cells[0].source = "console.log(1)\n2";
    Object.assign(shown, { data: { "image/png": "AAAA", "text/html": "<b>\n</b>" } });
    await writeNotebook(path, notebook);
    assert.equal(await Deno.readTextFile(path), JUPYTER);
  });
});

const withOutputs = (outputs: string) =>
  `{"nbformat": 4, "cells": [{"cell_type": "raw", "source": ""}, {"cell_type": "code", "source": "1", "outputs": ${outputs}}]}`;

Deno.test("outputs that are only uncommon are kept", async () => {
  const outputs = [
    { output_type: "stream", text: "no name" },
    { output_type: "display_data", data: { "text/plain": 7, "x/y": null, "__proto__x": [] } },
    { output_type: "error", ename: "", evalue: "", traceback: [] },
  ];
  for (const value of [JSON.stringify(outputs), "null", "[]"]) {
    await withFile(withOutputs(value), async (path) => {
      await writeNotebook(path, await readNotebook(path));
      assert.equal((await readNotebook(path)).cells[1].outputs!.length, value.length > 10 ? 3 : 0);
    });
  }
});

Deno.test("what is not a notebook is refused in one line that names the file", async () => {
  const cases: [string, RegExp][] = [
    ['{"cells": [', /the notebook ".*a\.ipynb" is not valid JSON: /],
    ["", /is not valid JSON/],
    ["[]", /is not a notebook: its JSON is not an object/],
    ["null", /its JSON is not an object/],
    ['{"nbformat": 3, "cells": []}', /nbformat must be 4: received 3/],
    ['{"nbformat": 4}', /it has no list of cells/],
    ['{"nbformat": 4, "cells": [7]}', /cell 1 is not an object/],
    ['{"nbformat": 4, "cells": [{"cell_type": "heading", "source": ""}]}', /cell 1 has the unknown type "heading"/],
    ['{"nbformat": 4, "cells": [{"cell_type": "code", "source": [1]}]}', /cell 1 has no source text/],
    ['{"nbformat": 4, "cells": [[]]}', /cell 1 is not an object/],
    [`{"nbformat": ${"[".repeat(50_000)}${"]".repeat(50_000)}, "cells": []}`, /nbformat must be 4: received an object/],
    [
      `{"nbformat": 4, "cells": [], "x": ${"[".repeat(50_000)}${"]".repeat(50_000)}}`,
      /its JSON nests deeper than 100 levels/,
    ],
    [
      withOutputs(
        `[{"output_type": "display_data", "data": {"a/json": ${'{"a":'.repeat(50_000)}0${"}".repeat(50_000)}}}]`,
      ),
      /deeper/,
    ],
    [withOutputs('"none"'), /the outputs of cell 2 are not a list/],
    [withOutputs("{}"), /the outputs of cell 2 are not a list/],
    [withOutputs("[null]"), /output 1 of cell 2 is not an object/],
    [withOutputs('["text"]'), /output 1 of cell 2 is not an object/],
    [withOutputs("[{}]"), /output 1 of cell 2 has the unknown type none/],
    [withOutputs('[{"output_type": "pyout"}]'), /output 1 of cell 2 has the unknown type "pyout"/],
    [withOutputs('[{"output_type": "stream"}]'), /output 1 of cell 2 has no text/],
    [withOutputs('[{"output_type": "stream", "text": ["a", 1]}]'), /output 1 of cell 2 has no text/],
    [withOutputs('[{"output_type": "display_data"}]'), /output 1 of cell 2 has no data by type/],
    [withOutputs('[{"output_type": "execute_result", "data": null}]'), /output 1 of cell 2 has no data by type/],
    [withOutputs('[{"output_type": "display_data", "data": ["x"]}]'), /output 1 of cell 2 has no data by type/],
    [withOutputs('[{"output_type": "error", "ename": "E"}]'), /has no name or message of its error/],
    [withOutputs('[{"output_type": "error", "ename": "E", "evalue": "v"}]'), /has no traceback of texts/],
    [
      withOutputs('[{"output_type": "error", "ename": "E", "evalue": "v", "traceback": [{}]}]'),
      /has no traceback of texts/,
    ],
  ];
  for (const [text, message] of cases) {
    await withFile(text, (path) =>
      assert.rejects(readNotebook(path), (error: Error) => {
        assert.ok(error instanceof UserError);
        assert.match(error.message, message);
        assert.ok(!error.message.includes("\n") && error.message.includes("a.ipynb"));
        return true;
      }));
  }
  await assert.rejects(
    readNotebook("nowhere.ipynb"),
    /cannot read the notebook "nowhere\.ipynb": there is no such file/,
  );
  await assert.rejects(readNotebook("lib"), /it is a folder: name a \.ipynb file in it/);
});
