import assert from "node:assert/strict";
import { join } from "node:path";
import { UserError } from "../../lib/files/user_error.ts";
import { readNotebook, writeNotebook } from "../../lib/report/notebook_file.ts";

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
