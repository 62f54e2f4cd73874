// A pretended accelerator: the host's memory as LibTorch's device type PrivateUse1, the one that is free for others to add.
//
// Numbers are computed by the CPU's kernels, so that tests of the project run on it as they are. What is not pretended is what
// the host sees of an accelerator: memory of the host is refused where CUDA refuses it, and kernels, uploads and reads are
// counted. Only what comes from outside is counted and refused, not what the CPU's kernels do among themselves.
#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>

namespace {

using at::Tensor;
using c10::SymIntArrayRef;
using OptionalTensor = std::optional<Tensor>;

constexpr auto TYPE = c10::DeviceType::PrivateUse1;
const c10::Device DEVICE(TYPE, 0);

// --- Counts. LibTorch runs a backward pass of this device on a thread of its own, but one thread at a time. ---

std::map<std::string, long> counts;
thread_local int depth = 0;

void count(const std::string& name) { counts[name]++; }

/// While one lives, what runs is the work of an operator that has been counted.
struct Inside {
  Inside() { depth++; }
  ~Inside() { depth--; }
};

// --- Memory, streams and events: there is one device, and whatever was asked of it is done. ---

struct Memory final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* block = bytes == 0 ? nullptr : std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    TORCH_CHECK(bytes == 0 || block != nullptr, "pretended device: out of memory: ", bytes, " bytes");
    return {block, block, &std::free, DEVICE};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }
};
Memory memory;
REGISTER_ALLOCATOR(TYPE, &memory)

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return TYPE; }
  c10::Device exchangeDevice(c10::Device) const override { return DEVICE; }
  c10::Device getDevice() const override { return DEVICE; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const override { return c10::Stream(c10::Stream::DEFAULT, DEVICE); }
  c10::Stream exchangeStream(c10::Stream stream) const override { return stream; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const c10::DeviceIndex) const noexcept override {}
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard)

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }
};
const bool announced = [] {
  at::RegisterPrivateUse1HooksInterface(new Hooks());
  c10::register_privateuse1_backend("pretended");
  return true;
}();

// --- Tensors, and the same memory seen from the host. ---

Tensor empty(SymIntArrayRef sizes, std::optional<at::ScalarType> type, std::optional<at::Layout>,
             std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  const c10::DispatchKeySet keys(c10::DispatchKey::PrivateUse1);
  return at::detail::empty_generic(C10_AS_INTARRAYREF_SLOW(sizes), &memory, keys, c10::dtype_or_default(type), format);
}

Tensor empty_strided(SymIntArrayRef sizes, SymIntArrayRef strides, std::optional<at::ScalarType> type,
                     std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  const c10::DispatchKeySet keys(c10::DispatchKey::PrivateUse1);
  return at::detail::empty_strided_generic(C10_AS_INTARRAYREF_SLOW(sizes), C10_AS_INTARRAYREF_SLOW(strides), &memory,
                                           keys, c10::dtype_or_default(type));
}

bool is_here(const Tensor& x) { return x.device().type() == TYPE; }

Tensor on_host(const Tensor& x) {
  if (!x.defined() || !is_here(x)) return x;
  return at::from_blob(x.data_ptr(), x.sizes(), x.strides(), x.options().device(at::kCPU));
}

Tensor on_device(const Tensor& x) {
  if (!x.defined()) return x;
  Inside inside;
  Tensor there = at::empty_strided(x.sizes(), x.strides(), x.options().device(DEVICE));
  on_host(there).copy_(x);
  return there;
}

Tensor copy_from(const Tensor& from, const Tensor& to, bool) {
  if (depth == 0) count(!is_here(to) ? "read" : is_here(from) ? "kernel aten::copy_" : "upload");
  Inside inside;
  on_host(to).copy_(on_host(from));
  return to;
}

Tensor copy_from_and_resize(const Tensor& from, const Tensor& to) {
  Inside inside;
  if (!to.sizes().equals(from.sizes())) to.resize_(from.sizes());
  on_host(to).copy_(on_host(from));
  return to;
}

at::Scalar local_scalar(const Tensor& x) {
  if (depth == 0) count("read");
  Inside inside;
  return on_host(x).item();
}

// --- Operators that only look at memory differently. ---

const Tensor& resize_(const Tensor& x, SymIntArrayRef sizes, std::optional<at::MemoryFormat> format) {
  return at::native::resize_(x, C10_AS_INTARRAYREF_SLOW(sizes), format);
}
Tensor view(const Tensor& x, SymIntArrayRef sizes) { return at::native::view(x, C10_AS_INTARRAYREF_SLOW(sizes)); }
Tensor as_strided(const Tensor& x, SymIntArrayRef sizes, SymIntArrayRef strides, std::optional<c10::SymInt> offset) {
  std::optional<int64_t> start;
  if (offset) start = offset->expect_int();
  return at::native::as_strided_tensorimpl(x, C10_AS_INTARRAYREF_SLOW(sizes), C10_AS_INTARRAYREF_SLOW(strides), start);
}
Tensor reshape_alias(const Tensor& x, SymIntArrayRef sizes, SymIntArrayRef strides) {
  return at::native::_reshape_alias(x, C10_AS_INTARRAYREF_SLOW(sizes), C10_AS_INTARRAYREF_SLOW(strides));
}

// --- Every other operator. ---

/// CUDA's kernels of two operands take a number of the host, a tensor of rank 0. Others do not.
const std::set<std::string> TAKE_HOST_NUMBERS = {"aten::add", "aten::add_", "aten::sub", "aten::sub_",
                                                 "aten::mul", "aten::mul_", "aten::div", "aten::div_"};

void refuse_host_memory(const c10::FunctionSchema& schema, const Tensor& x, const std::string& argument) {
  if (!x.defined() || is_here(x)) return;
  // A number that LibTorch itself has made a tensor of.
  if (x.unsafeGetTensorImpl()->is_wrapped_number()) return;
  if (x.dim() == 0 && TAKE_HOST_NUMBERS.count(schema.name()) > 0) return;
  TORCH_CHECK(false, "pretended device: ", schema.name(), " got ", argument, " of shape ", x.sizes(),
              " in the host's memory: upload it first");
}

void check_and_count(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const auto& schema = op.schema();
  const auto& name = schema.overload_name();
  count("kernel " + schema.name() + (name.empty() ? "" : "." + name));
  const auto& arguments = schema.arguments();
  const auto first = stack->size() - arguments.size();
  for (size_t i = 0; i < arguments.size(); i++) {
    const auto& value = (*stack)[first + i];
    if (value.isTensor()) {
      refuse_host_memory(schema, value.toTensor(), arguments[i].name());
    } else if (value.isTensorList()) {
      for (const Tensor& each : value.toTensorVector()) refuse_host_memory(schema, each, arguments[i].name());
    } else if (value.isOptionalTensorList()) {
      for (const OptionalTensor& each : value.toOptionalTensorVector()) {
        if (each) refuse_host_memory(schema, *each, arguments[i].name());
      }
    }
  }
}

void by_the_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  if (depth == 0) check_and_count(op, stack);
  Inside inside;
  at::native::cpu_fallback(op, stack);
}

// Convolutions have entries of their own for devices of this type.

void check_convolution(const char* name, std::initializer_list<Tensor> operands) {
  count(std::string("kernel aten::") + name);
  for (const Tensor& x : operands) {
    TORCH_CHECK(!x.defined() || is_here(x), "pretended device: ", name, " got an operand of shape ", x.sizes(),
                " in the host's memory: upload it first");
  }
}

Tensor convolution(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, SymIntArrayRef stride,
                   SymIntArrayRef padding, SymIntArrayRef dilation, bool transposed, SymIntArrayRef output_padding,
                   c10::SymInt groups) {
  check_convolution("convolution", {x, weight, bias.value_or(Tensor())});
  Inside inside;
  const OptionalTensor host_bias = bias ? OptionalTensor(on_host(*bias)) : std::nullopt;
  return on_device(at::convolution_symint(on_host(x), on_host(weight), host_bias, stride, padding, dilation, transposed,
                                          output_padding, groups));
}

std::tuple<Tensor, Tensor, Tensor> convolution_backward(const Tensor& gradient, const Tensor& x, const Tensor& weight,
                                                        SymIntArrayRef stride, SymIntArrayRef padding,
                                                        SymIntArrayRef dilation, bool transposed,
                                                        SymIntArrayRef output_padding, c10::SymInt groups,
                                                        std::array<bool, 3> wanted) {
  check_convolution("convolution_backward", {gradient, x, weight});
  Inside inside;
  const std::vector<c10::SymInt> bias_sizes{weight.sym_size(0)};
  const auto [by_x, by_weight, by_bias] =
      at::convolution_backward_symint(on_host(gradient), on_host(x), on_host(weight), SymIntArrayRef(bias_sizes), stride,
                                      padding, dilation, transposed, output_padding, groups, wanted);
  return {on_device(by_x), on_device(by_weight), on_device(by_bias)};
}

}  // namespace

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&by_the_cpu>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", empty);
  library.impl("empty_strided", empty_strided);
  library.impl("_copy_from", copy_from);
  library.impl("_copy_from_and_resize", copy_from_and_resize);
  library.impl("_local_scalar_dense", local_scalar);
  library.impl("resize_", resize_);
  library.impl("view", view);
  library.impl("as_strided", as_strided);
  library.impl("_reshape_alias", reshape_alias);
  library.impl("unfold", at::native::unfold);
  library.impl("convolution_overrideable", convolution);
  library.impl("convolution_backward_overrideable", convolution_backward);
  // On CUDA one kernel; the composition that LibTorch has for other devices would be many.
  library.impl("native_group_norm", torch::CppFunction::makeFromBoxedFunction<&by_the_cpu>());
  library.impl("native_group_norm_backward", torch::CppFunction::makeFromBoxedFunction<&by_the_cpu>());
}

extern "C" {

/// Forgets the counts.
void pretended_reset() { counts.clear(); }

/// Writes lines of a name, a tab and a count; returns how many bytes there are, of which `room` are written.
size_t pretended_counts(char* out, size_t room) {
  std::string text;
  for (const auto& [name, number] : counts) text += name + "\t" + std::to_string(number) + "\n";
  std::memcpy(out, text.data(), std::min(room, text.size()));
  return text.size();
}
}
