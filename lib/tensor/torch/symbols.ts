/**
 * The functions of LibTorch that are called from Deno, and how its libraries are loaded.
 *
 * Most belong to the C interface that LibTorch keeps stable from 2.10 on (`torch_…`, `aoti_torch_…`). A few are C++ symbols
 * for what that interface lacks: sums of tensors (`aten::add` has an argument type that the dispatcher refuses), products in
 * half the time, a leaf's gradient, and the number of threads. Nothing here knows about tensors of ours; `dispatcher.ts` makes the calls safe.
 */
import { reuseFreedMemory } from "./host_memory.ts";
import { UserError } from "../../base/user_error.ts";
import { type LibraryFolder, libraryName, NOT_ON_WINDOWS, thisMachine } from "./location.ts";
import { cudaDevices, preloadCuda } from "./cuda.ts";

const HANDLE = "u64", ADDRESS = "u64", STATUS = "i32";

export const FUSED_ADAMW =
  "_ZN2at4_ops13_fused_adamw_4callEN3c108ArrayRefINS_6TensorEEES5_S5_S5_S5_S5_dddddbbRKSt8optionalIS4_ES9_";

/** Functions of `libtorch_cpu`. Addresses travel as u64: Deno passes those fastest. */
const TORCH = {
  // The address of a function that does nothing but return a number.
  doesNothing: { name: "aoti_torch_dtype_float32", type: "pointer" },
  aoti_torch_abi_version: { parameters: [], result: "u64" },
  torch_call_dispatcher: { parameters: [ADDRESS, ADDRESS, ADDRESS, "u64"], result: STATUS },
  aoti_torch_empty_strided: {
    parameters: ["i64", ADDRESS, ADDRESS, "i32", "i32", "i32", ADDRESS],
    result: STATUS,
  },
  // A view of the same storage: sizes, strides, and how much further it starts. Not recorded by autograd.
  aoti_torch__reinterpret_tensor: { parameters: [HANDLE, "i64", ADDRESS, ADDRESS, "i64", ADDRESS], result: STATUS },
  aoti_torch_get_stride: { parameters: [HANDLE, "i64", ADDRESS], result: STATUS },
  aoti_torch_get_data_ptr: { parameters: [HANDLE, ADDRESS], result: STATUS },
  aoti_torch_get_storage_size: { parameters: [HANDLE, ADDRESS], result: STATUS },
  aoti_torch_new_tensor_handle: { parameters: [HANDLE, ADDRESS], result: STATUS },
  aoti_torch_new_uninitialized_tensor: { parameters: [ADDRESS], result: STATUS },
  aoti_torch_delete_tensor_object: { parameters: [HANDLE], result: STATUS },
  aoti_torch_assign_tensors: { parameters: [HANDLE, HANDLE], result: STATUS },
  aoti_torch_is_defined: { parameters: [HANDLE, ADDRESS], result: STATUS },
  aoti_torch_is_contiguous: { parameters: [HANDLE, ADDRESS], result: STATUS },
  aoti_torch_grad_mode_set_enabled: { parameters: ["bool"], result: "void" },
  torch_set_requires_grad: { parameters: [HANDLE, "bool"], result: STATUS },
  aoti_torch_scalar_to_tensor_float32: { parameters: ["f32", ADDRESS], result: STATUS },
  aoti_torch_scalar_to_tensor_float64: { parameters: ["f64", ADDRESS], result: STATUS },
  aoti_torch_scalar_to_tensor_int64: { parameters: ["i64", ADDRESS], result: STATUS },
  aoti_torch_aten_full: {
    parameters: [ADDRESS, "i64", "f64", ADDRESS, ADDRESS, ADDRESS, "i32", ADDRESS, ADDRESS],
    result: STATUS,
  },
  aoti_torch_aten_subtract_Tensor: { parameters: [HANDLE, HANDLE, "f64", ADDRESS], result: STATUS },
  torch_new_list_reserve_size: { parameters: ["u64", ADDRESS], result: STATUS },
  torch_list_push_back: { parameters: ["u64", "u64"], result: STATUS },
  torch_list_get_item: { parameters: ["u64", "u64", ADDRESS], result: STATUS },
  torch_delete_list: { parameters: ["u64"], result: STATUS },
  torch_new_string_handle: { parameters: [ADDRESS, "u64", ADDRESS], result: STATUS },
  torch_get_num_threads: { parameters: [ADDRESS], result: STATUS },
  // From 2.13 on; before, the slot of an optional is memory of C++ `operator new`, and errors carry no words.
  torch_new_stable_ivalue: { parameters: [ADDRESS], result: STATUS, optional: true },
  torch_exception_get_what_without_backtrace: { parameters: [], result: "pointer", optional: true },
  // `operator new`, found through libtorch_cpu's own dependencies.
  _Znwm: { parameters: ["u64"], result: "u64", optional: true },
  // From the C library, found in the same way.
  memcpy: { parameters: [ADDRESS, ADDRESS, "u64"], result: "u64", optional: true },
  // at::set_num_threads(int)
  _ZN2at15set_num_threadsEi: { parameters: ["i32"], result: "void", optional: true },
  // at::_ops::mul_Tensor::call(const Tensor&, const Tensor&) -> Tensor, the result's slot first.
  _ZN2at4_ops10mul_Tensor4callERKNS_6TensorES4_: { parameters: [ADDRESS, HANDLE, HANDLE], result: "u64" },
  // at::_ops::{add,sub}_Tensor::call(const Tensor&, const Tensor&, const Scalar&) -> Tensor.
  _ZN2at4_ops10add_Tensor4callERKNS_6TensorES4_RKN3c106ScalarE: {
    parameters: [ADDRESS, HANDLE, HANDLE, ADDRESS],
    result: "u64",
  },
  _ZN2at4_ops10sub_Tensor4callERKNS_6TensorES4_RKN3c106ScalarE: {
    parameters: [ADDRESS, HANDLE, HANDLE, ADDRESS],
    result: "u64",
  },
  // Views that autograd records. at::_ops::{view,expand}::call(const Tensor&, SymIntArrayRef[, bool]) -> Tensor; a list is an
  // address and a length.
  _ZN2at4_ops4view4callERKNS_6TensorEN3c108ArrayRefINS5_6SymIntEEE: {
    parameters: [ADDRESS, HANDLE, ADDRESS, "u64"],
    result: "u64",
  },
  _ZN2at4_ops6expand4callERKNS_6TensorEN3c108ArrayRefINS5_6SymIntEEEb: {
    parameters: [ADDRESS, HANDLE, ADDRESS, "u64", "bool"],
    result: "u64",
  },
  aoti_torch_aten_narrow: { parameters: [HANDLE, "i64", "i64", "i64", ADDRESS], result: STATUS },
  // at::_ops::permute::call(const Tensor&, IntArrayRef) -> Tensor. Of another name where int64_t is no long.
  _ZN2at4_ops7permute4callERKNS_6TensorEN3c108ArrayRefIlEE: {
    parameters: [ADDRESS, HANDLE, ADDRESS, "u64"],
    result: "u64",
    optional: true,
  },
  // at::_ops::concat::call(TensorList, int64_t) -> Tensor; of another name where int64_t is no long.
  _ZN2at4_ops6concat4callEN3c108ArrayRefINS_6TensorEEEl: {
    parameters: [ADDRESS, ADDRESS, "u64", "i64"],
    result: "u64",
    optional: true,
  },
  // Of lists of tensors: at::_ops::flatten_dense_tensors::call(TensorList) -> Tensor,
  // at::_ops::_foreach_add__List::call(TensorList, TensorList, const Scalar&).
  _ZN2at4_ops21flatten_dense_tensors4callEN3c108ArrayRefINS_6TensorEEE: {
    parameters: [ADDRESS, ADDRESS, "u64"],
    result: "u64",
  },
  _ZN2at4_ops18_foreach_add__List4callEN3c108ArrayRefINS_6TensorEEES5_RKNS2_6ScalarE: {
    parameters: [ADDRESS, "u64", ADDRESS, "u64", ADDRESS],
    result: "void",
  },
  // at::_ops::_fused_adamw_::call(six TensorLists, lr, β₁, β₂, weight decay, ε, amsgrad, maximize, two optional Tensors). Of another
  // name with another C++ library.
  [FUSED_ADAMW]: {
    parameters: [
      ...[ADDRESS, "u64", ADDRESS, "u64", ADDRESS, "u64", ADDRESS, "u64", ADDRESS, "u64", ADDRESS, "u64"] as const,
      ...["f64", "f64", "f64", "f64", "f64", "bool", "bool", ADDRESS, ADDRESS] as const,
    ],
    result: "void",
    optional: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** Functions of `libc10`. */
const C10 = {
  // c10::TensorImpl::{requires_grad() const, mutable_grad()}: where C++ autograd leaves gradients.
  _ZNK3c1010TensorImpl13requires_gradEv: { parameters: ["u64"], result: "bool" },
  _ZN3c1010TensorImpl12mutable_gradEv: { parameters: ["u64"], result: "u64" },
  // c10::WarningUtils::{get,set}_warning_handler: of the calling thread.
  _ZN3c1012WarningUtils19get_warning_handlerEv: { parameters: [], result: "u64", optional: true },
  _ZN3c1012WarningUtils19set_warning_handlerEPNS_14WarningHandlerE: {
    parameters: ["u64"],
    result: "void",
    optional: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** Functions of `libtorch_cuda`. */
const CUDA = {
  aoti_torch_get_current_cuda_stream: { parameters: ["i32", ADDRESS], result: STATUS },
  torch_cuda_stream_synchronize: { parameters: ["u64", "i32"], result: STATUS },
} as const satisfies Deno.ForeignLibraryInterface;

/** LibTorch, loaded. */
export interface Library {
  readonly folder: LibraryFolder;
  readonly torch: Deno.DynamicLibrary<typeof TORCH>["symbols"];
  readonly c10: Deno.DynamicLibrary<typeof C10>["symbols"];
  /** `2.13.0`. */
  readonly version: string;
  /** The CUDA half; loads it at the first call. */
  cuda(): Deno.DynamicLibrary<typeof CUDA>["symbols"];
}

/** The oldest version whose calls are used here, as LibTorch encodes versions. */
export const ABI_2_10 = (2n << 56n) | (10n << 48n);

/** `2.13.0` of LibTorch's encoded version. */
export function versionText(encoded: bigint): string {
  return [56n, 48n, 40n].map((shift) => Number((encoded >> shift) & 0xffn)).join(".");
}

const loaded = new Map<string, Library>();

function remedyFor(missing: string): string {
  if (/lib(cu|nv|nccl)/i.test(missing)) {
    return "a CUDA build whose NVIDIA libraries are not there: pip install torch brings them, and deno task install-libtorch " +
      "--force gets a build without CUDA";
  }
  return "LibTorch 2.10 or newer is needed: deno task install-libtorch gets one";
}

/**
 * Loads LibTorch from a folder, once a process.
 *
 * @throws {UserError} When a library or a function is missing: says which and what to do.
 */
export function loadLibrary(folder: LibraryFolder): Library {
  const known = loaded.get(folder.path);
  if (known) return known;
  if (Deno.build.os === "windows") throw new UserError(NOT_ON_WINDOWS);
  const open = <S extends Deno.ForeignLibraryInterface>(stem: string, symbols: S) => {
    const path = `${folder.path}/${libraryName(stem)}`;
    let missing = "";
    for (const attempt of [1, 2]) {
      try {
        return Deno.dlopen(path, symbols).symbols;
      } catch (error) {
        missing = (error as Error).message.replace(/^(Could not open library: )+/, "");
        // A CUDA build needs NVIDIA's libraries even for its CPU half.
        if (attempt === 1) preloadCuda(folder.path);
      }
    }
    throw new UserError(`LibTorch at ${path} cannot be loaded: ${missing} (${remedyFor(missing)})`);
  };
  reuseFreedMemory();
  const c10 = open("c10", C10);
  const torch = open("torch_cpu", TORCH);
  let cuda: ReturnType<Library["cuda"]> | undefined;
  const library: Library = {
    folder,
    torch,
    c10,
    version: versionText(torch.aoti_torch_abi_version()),
    cuda: () => {
      cuda ??= open("torch_cuda", CUDA);
      return cuda;
    },
  };
  // LibTorch asks once, early, which kinds of device it has: the CUDA half must be there before anything is computed, also on
  // the CPU. Whether it loads matters to those who ask for CUDA; they get the error.
  if (cudaDevices().devices.length > 0 && thisMachine.isFile(`${folder.path}/${libraryName("torch_cuda")}`)) {
    try {
      library.cuda();
    } catch { /* see above */ }
  }
  loaded.set(folder.path, library);
  return library;
}
