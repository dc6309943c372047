#include "models/gguf_tensors.h"

#include <map>

#include "base/checked.h"

namespace plexus::models {

namespace {

constexpr std::size_t max_dimensions = 4;

/// How a tensor type packs its numbers.
struct TensorType {
    std::uint32_t id;
    std::string_view name;
    std::uint32_t block;  // numbers in a block
    std::uint32_t bytes;  // of a block
};

/// Types that weights may have. Integers and F64 exist in ggml, but no operation on weights takes them.
constexpr auto tensor_types = std::array{
    TensorType{0, "F32", 1, 4},         TensorType{1, "F16", 1, 2},         TensorType{2, "Q4_0", 32, 18},
    TensorType{3, "Q4_1", 32, 20},      TensorType{6, "Q5_0", 32, 22},      TensorType{7, "Q5_1", 32, 24},
    TensorType{8, "Q8_0", 32, 34},      TensorType{10, "Q2_K", 256, 84},    TensorType{11, "Q3_K", 256, 110},
    TensorType{12, "Q4_K", 256, 144},   TensorType{13, "Q5_K", 256, 176},   TensorType{14, "Q6_K", 256, 210},
    TensorType{16, "IQ2_XXS", 256, 66}, TensorType{17, "IQ2_XS", 256, 74},  TensorType{18, "IQ3_XXS", 256, 98},
    TensorType{19, "IQ1_S", 256, 50},   TensorType{20, "IQ4_NL", 32, 18},   TensorType{21, "IQ3_S", 256, 110},
    TensorType{22, "IQ2_S", 256, 82},   TensorType{23, "IQ4_XS", 256, 136}, TensorType{29, "IQ1_M", 256, 56},
    TensorType{30, "BF16", 1, 2},       TensorType{34, "TQ1_0", 256, 54},   TensorType{35, "TQ2_0", 256, 66},
    TensorType{39, "MXFP4", 32, 17},    TensorType{40, "NVFP4", 64, 36},    TensorType{41, "Q1_0", 128, 18},
    TensorType{42, "Q2_0", 64, 18},
};

struct Tensor {
    std::string name;
    std::uint32_t dimension_count = 0;
    std::array<std::uint64_t, max_dimensions> dimensions{1, 1, 1, 1};
    TensorType type{};
    std::uint64_t offset = 0;
    std::uint64_t numbers = 0;
    std::uint64_t bytes = 0;
};

class TensorReader {
public:
    TensorReader(GgufReader& reader, std::uint64_t alignment) : reader_(reader), alignment_(alignment) {}

    Result<GgufTensors> read(std::uint64_t count);

private:
    Result<Tensor> tensor();
    Result<void> name(Tensor& tensor);
    Result<void> shape(Tensor& tensor);
    Result<void> type(Tensor& tensor);
    Result<void> size(Tensor& tensor);
    Result<void> use(Tensor const& tensor) const;
    Result<void> place(Tensor const& tensor);

    GgufReader& reader_;
    std::uint64_t alignment_;
    std::set<std::string> names_;
    std::map<std::string_view, std::uint64_t> bytes_of_type_;
    std::uint64_t next_offset_ = 0;
    GgufTensors sum_;
};

Result<void> TensorReader::name(Tensor& tensor)
{
    auto const view = reader_.short_text(max_tensor_name, "a tensor name");
    if (!view) {
        return std::unexpected(view.error());
    }
    auto const is_printable = std::ranges::all_of(*view, [](char symbol) { return symbol > ' ' && symbol < 0x7f; });
    if (view->empty() || !is_printable) {
        return fail(ErrorKind::malformed, "the name of tensor {} is empty or not made of printable letters",
                    names_.size());
    }
    tensor.name = *view;
    if (!names_.insert(tensor.name).second) {
        return fail(ErrorKind::malformed, "tensor {} is there twice", tensor.name);
    }
    return {};
}

Result<void> TensorReader::shape(Tensor& tensor)
{
    auto const what = fmt::format("tensor {}", tensor.name);
    auto const count = reader_.number<std::uint32_t>(what);
    if (!count) {
        return std::unexpected(count.error());
    }
    if (*count == 0 || *count > max_dimensions) {
        return fail(ErrorKind::malformed, "{} has {} dimensions", what, *count);
    }
    tensor.dimension_count = *count;
    for (std::uint32_t index = 0; index < *count; ++index) {
        auto const dimension = reader_.number<std::uint64_t>(what);
        if (!dimension) {
            return std::unexpected(dimension.error());
        }
        if (*dimension == 0) {
            return fail(ErrorKind::malformed, "{} has a dimension of zero", what);
        }
        tensor.dimensions[index] = *dimension;
    }
    return {};
}

Result<void> TensorReader::type(Tensor& tensor)
{
    auto const what = fmt::format("tensor {}", tensor.name);
    auto const id = reader_.number<std::uint32_t>(what);
    auto const offset = and_then(id, [&](auto) { return reader_.number<std::uint64_t>(what); });
    if (!offset) {
        return std::unexpected(offset.error());
    }
    auto const found = std::ranges::find(tensor_types, *id, &TensorType::id);
    if (found == tensor_types.end()) {
        return fail(ErrorKind::malformed, "{} has type {}, which no weights may have", what, *id);
    }
    tensor.type = *found;
    tensor.offset = *offset;
    return {};
}

Result<void> TensorReader::size(Tensor& tensor)
{
    if (tensor.dimensions[0] % tensor.type.block != 0) {
        return fail(ErrorKind::malformed, "tensor {} has rows of {} numbers, not a multiple of {} as {} needs",
                    tensor.name, tensor.dimensions[0], tensor.type.block, tensor.type.name);
    }
    auto numbers = std::optional<std::int64_t>(1);
    for (auto dimension : tensor.dimensions) {
        auto const factor = checked_cast<std::int64_t>(dimension);
        numbers = numbers && factor ? checked_multiply(*numbers, *factor) : std::nullopt;
    }
    auto const count = static_cast<std::uint64_t>(numbers.value_or(0));
    auto const bytes = checked_multiply<std::uint64_t>(count / tensor.type.block, tensor.type.bytes);
    if (!numbers || !bytes) {
        return fail(ErrorKind::malformed, "the size of tensor {} does not fit 64 bits", tensor.name);
    }
    tensor.numbers = count;
    tensor.bytes = *bytes;
    return {};
}

/// Which operation a tensor is for shows in its name; some take few types only, and ggml ends the process over others.
Result<void> TensorReader::use(Tensor const& tensor) const
{
    auto const is_any = [&](auto... part) { return (tensor.name.contains(part) || ...); };
    auto const is_float = tensor.type.block == 1;
    auto const is_row = tensor.dimensions[1] == 1 && tensor.dimensions[2] == 1 && tensor.dimensions[3] == 1;
    if (!is_float &&
        (is_row || tensor.name.ends_with(".bias") || is_any("norm", "rope_f", "ssm_conv1d", "ssm_a", "ssm_d"))) {
        return fail(ErrorKind::malformed, "tensor {} has type {}, for its use it must not be quantised", tensor.name,
                    tensor.type.name);
    }
    if (tensor.type.id != 0 && is_any("rope_freqs", "rope_factors", "ssm_conv1d", "ssm_a", "ssm_d", "shortconv.conv")) {
        return fail(ErrorKind::malformed, "tensor {} has type {}, for its use it must be F32", tensor.name,
                    tensor.type.name);
    }
    return {};
}

Result<void> TensorReader::place(Tensor const& tensor)
{
    if (tensor.offset != next_offset_) {
        return fail(ErrorKind::malformed, "tensor {} begins at {}, it must begin at {}, behind the one before",
                    tensor.name, tensor.offset, next_offset_);
    }
    auto const end = checked_add(tensor.offset, tensor.bytes);
    auto const padded = end ? checked_add(*end, alignment_ - 1) : std::nullopt;
    if (!padded) {
        return fail(ErrorKind::malformed, "the end of tensor {} does not fit 64 bits", tensor.name);
    }
    next_offset_ = *padded / alignment_ * alignment_;
    sum_.data_end = *end;
    sum_.parameters += tensor.numbers;
    sum_.weight_bytes += tensor.bytes;
    bytes_of_type_[tensor.type.name] += tensor.bytes;
    return {};
}

Result<Tensor> TensorReader::tensor()
{
    auto made = Tensor{};
    for (auto const step : {&TensorReader::name, &TensorReader::shape, &TensorReader::type, &TensorReader::size}) {
        if (auto done = (this->*step)(made); !done) {
            return std::unexpected(done.error());
        }
    }
    return made;
}

Result<GgufTensors> TensorReader::read(std::uint64_t count)
{
    for (std::uint64_t index = 0; index < count; ++index) {
        auto const read = tensor();
        if (!read) {
            return std::unexpected(read.error());
        }
        auto done = use(*read);
        done = done ? place(*read) : done;
        if (!done) {
            return std::unexpected(done.error());
        }
    }
    auto const largest = std::ranges::max_element(bytes_of_type_, {}, [](auto const& entry) { return entry.second; });
    sum_.quantisation = largest == bytes_of_type_.end() ? "" : std::string(largest->first);
    return std::move(sum_);
}

}  // namespace

Result<GgufTensors> read_tensors(GgufReader& reader, std::uint64_t count, std::uint64_t alignment)
{
    return TensorReader(reader, alignment).read(count);
}

}  // namespace plexus::models
