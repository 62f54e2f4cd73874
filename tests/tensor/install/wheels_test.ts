/** Choosing a wheel from an index page as PyPI and PyTorch serve it. */
import assert from "node:assert/strict";
import { wheelOf } from "../../../lib/tensor/install/wheels.ts";

const SUM = "0123456789abcdef".repeat(4);
const link = (name: string, hash = `#sha256=${SUM}`) =>
  `<a href="../../packages/${name}${hash}" data-x="&gt;=3.9">${name}</a><br/>`;
const wanted = (version: string, os: typeof Deno.build.os = "linux", arch: typeof Deno.build.arch = "x86_64") => ({
  name: "tensorflow-cpu",
  version,
  os,
  arch,
});

Deno.test("the wheel for this version, system and the newest Python is chosen, with its SHA-256", () => {
  const linux = ["2.20.0-cp312", "2.21.0-cp39", "2.21.0-cp311", "2.21.0-cp310"].map((each) => {
    const [version, python] = each.split("-");
    return link(`tensorflow_cpu-${version}-${python}-${python}-manylinux_2_27_x86_64.whl`);
  });
  const mac = link("tensorflow_cpu-2.21.0-cp312-none-macosx_14_0_arm64.whl");
  const page = [...linux, mac, link("tensorflow_cpu-2.21.0-cp313-cp313-win_amd64.whl")].join("\n");
  const at = "https://pypi.org/simple/tensorflow-cpu/";
  assert.deepEqual(wheelOf(page, at, wanted("2.21.0")), {
    name: "tensorflow_cpu-2.21.0-cp311-cp311-manylinux_2_27_x86_64.whl",
    url: "https://pypi.org/packages/tensorflow_cpu-2.21.0-cp311-cp311-manylinux_2_27_x86_64.whl",
    sha256: SUM,
  });
  assert.equal(
    wheelOf(page, at, wanted("2.21.0", "darwin", "aarch64"))?.name,
    "tensorflow_cpu-2.21.0-cp312-none-macosx_14_0_arm64.whl",
  );
  assert.equal(wheelOf(page, at, wanted("2.21.0", "linux", "aarch64")), undefined);
  assert.equal(wheelOf(page, at, wanted("9.9.9")), undefined);
});

Deno.test("a wheel whose SHA-256 the index does not state is not taken", () => {
  const name = "tensorflow_cpu-2.21.0-cp311-cp311-manylinux_2_27_x86_64.whl";
  for (const hash of ["", "#md5=0123", "#sha256=0123", `#sha256=${SUM}0`]) {
    assert.equal(wheelOf(link(name, hash), "https://pypi.org/simple/x/", wanted("2.21.0")), undefined, hash);
  }
});

Deno.test("links that are none are passed over", () => {
  const page = `<a href="http://[">x</a><a href="x-2.21.0-%zz.whl#sha256=${SUM}">y</a>` + "<a ".repeat(100_000);
  assert.equal(wheelOf(page, "https://pypi.org/simple/x/", wanted("2.21.0")), undefined);
});
