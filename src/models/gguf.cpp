#include "models/gguf.h"

#include <set>

#include "base/checked.h"

namespace plexus::models {

namespace {

constexpr std::size_t window_size = 64 * 1024;
constexpr std::uint32_t default_alignment = 32;
constexpr std::uint32_t max_dimensions = 4;

enum ValueType : std::uint32_t {
    value_u8, value_i8, value_u16, value_i16, value_u32, value_i32, value_f32, value_bool, value_text, value_array,
    value_u64, value_i64, value_f64,
};

/// Bytes of a value of fixed size; 0 for texts and arrays; nothing for an unknown type.
std::optional<std::uint64_t> size_of(std::uint32_t type)
{
    constexpr auto sizes = std::array<std::uint8_t, 13>{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return type < sizes.size() ? std::optional<std::uint64_t>(sizes[type]) : std::nullopt;
}

/// How a tensor type packs its numbers. Only types that a file may hold.
struct TensorType {
    std::uint32_t id;
    std::string_view name;
    std::uint32_t block;  // numbers in a block
    std::uint32_t bytes;  // of a block
};

constexpr auto tensor_types = std::array{
    TensorType{0, "F32", 1, 4},         TensorType{1, "F16", 1, 2},        TensorType{2, "Q4_0", 32, 18},
    TensorType{3, "Q4_1", 32, 20},      TensorType{6, "Q5_0", 32, 22},     TensorType{7, "Q5_1", 32, 24},
    TensorType{8, "Q8_0", 32, 34},      TensorType{10, "Q2_K", 256, 84},   TensorType{11, "Q3_K", 256, 110},
    TensorType{12, "Q4_K", 256, 144},   TensorType{13, "Q5_K", 256, 176},  TensorType{14, "Q6_K", 256, 210},
    TensorType{16, "IQ2_XXS", 256, 66}, TensorType{17, "IQ2_XS", 256, 74}, TensorType{18, "IQ3_XXS", 256, 98},
    TensorType{19, "IQ1_S", 256, 50},   TensorType{20, "IQ4_NL", 32, 18},  TensorType{21, "IQ3_S", 256, 110},
    TensorType{22, "IQ2_S", 256, 82},   TensorType{23, "IQ4_XS", 256, 136}, TensorType{24, "I8", 1, 1},
    TensorType{25, "I16", 1, 2},        TensorType{26, "I32", 1, 4},       TensorType{27, "I64", 1, 8},
    TensorType{28, "F64", 1, 8},        TensorType{29, "IQ1_M", 256, 56},  TensorType{30, "BF16", 1, 2},
    TensorType{34, "TQ1_0", 256, 54},   TensorType{35, "TQ2_0", 256, 66},  TensorType{39, "MXFP4", 32, 17},
    TensorType{40, "NVFP4", 64, 36},    TensorType{41, "Q1_0", 128, 18},   TensorType{42, "Q2_0", 64, 18},
};

/// Reads the front of the file through a small window.
class Cursor {
public:
    explicit Cursor(File const& file) : file_(file) {}

    std::uint64_t position() const { return position_; }
    std::uint64_t remaining() const { return file_.size() - position_; }

    Result<void> skip(std::uint64_t count, std::string_view what)
    {
        if (count > remaining()) {
            return fail(ErrorKind::malformed, "{} needs {} bytes, the file has {} left", what, count, remaining());
        }
        position_ += count;
        if (position_ > max_header_bytes) {
            return fail(ErrorKind::too_large, "the header of the file is over {} bytes", max_header_bytes);
        }
        return {};
    }

    template <typename T>
    Result<T> number(std::string_view what)
    {
        auto const at = position_;
        if (auto skipped = skip(sizeof(T), what); !skipped) {
            return std::unexpected(skipped.error());
        }
        auto const bytes = window(at, sizeof(T));
        if (!bytes) {
            return std::unexpected(bytes.error());
        }
        return load_little_endian<T>(bytes->data());
    }

    Result<std::string> text(std::uint64_t limit, std::string_view what)
    {
        auto const size = number<std::uint64_t>(what);
        if (!size) {
            return std::unexpected(size.error());
        }
        if (*size > remaining()) {
            return fail(ErrorKind::malformed, "{} claims {} bytes, the file has {} left", what, *size, remaining());
        }
        if (*size > limit) {
            return fail(ErrorKind::too_large, "{} has {} bytes, at most {} are read", what, *size, limit);
        }
        auto text = std::string(*size, '\0');
        auto const read = file_.read_at(position_, std::as_writable_bytes(std::span(text)));
        if (!read) {
            return std::unexpected(read.error());
        }
        if (*read != text.size()) {
            return fail(ErrorKind::malformed, "{} is cut off", what);
        }
        if (auto skipped = skip(*size, what); !skipped) {
            return std::unexpected(skipped.error());
        }
        return text;
    }

    Result<void> skip_text(std::string_view what)
    {
        auto const size = number<std::uint64_t>(what);
        if (!size) {
            return std::unexpected(size.error());
        }
        if (*size > max_text_bytes) {
            return fail(*size > remaining() ? ErrorKind::malformed : ErrorKind::too_large, "{} claims {} bytes", what, *size);
        }
        return skip(*size, what);
    }

private:
    Result<ByteView> window(std::uint64_t at, std::size_t count)
    {
        if (at < start_ || at + count > start_ + window_.size()) {
            window_.resize(window_size);
            auto const read = file_.read_at(at, window_);
            if (!read) {
                return std::unexpected(read.error());
            }
            window_.resize(*read);
            start_ = at;
        }
        if (at - start_ + count > window_.size()) {
            return fail(ErrorKind::malformed, "the file is shorter than its size says");
        }
        return ByteView(window_).subspan(at - start_, count);
    }

    File const& file_;
    std::uint64_t position_ = 0;
    std::uint64_t start_ = 0;
    Bytes window_;
};

/// A metadata value, as far as it is of use here.
struct Value {
    std::uint32_t type = 0;
    std::uint64_t number = 0;  // of integers; negative ones as 0
    std::string text;
    std::uint64_t elements = 0;
};

class Checker {
public:
    explicit Checker(File const& file) : file_(file), cursor_(file) {}

    Result<GgufSummary> check()
    {
        for (auto const step : {&Checker::header, &Checker::metadata, &Checker::describe, &Checker::tensors,
                                 &Checker::data}) {
            if (auto done = (this->*step)(); !done) {
                return std::unexpected(done.error());
            }
        }
        return std::move(summary_);
    }

private:
    struct Range {
        std::uint64_t begin;
        std::uint64_t end;
        std::string name;
    };

    Result<void> header();
    Result<void> metadata();
    Result<Value> value(std::string const& key);
    Result<Value> array(std::string const& what);
    Result<void> take_value(std::string const& key, Value value);
    Result<void> describe();
    Result<void> tensors();
    Result<void> tensor(std::map<std::string_view, std::uint64_t>& bytes_of_type);
    Result<std::uint64_t> tensor_bytes(std::string const& name, TensorType const& type,
                                       std::array<std::uint64_t, max_dimensions> const& dimensions);
    Result<void> data();

    std::uint64_t number_of(std::string const& name) const
    {
        auto const found = numbers_.find(summary_.architecture + "." + name);
        return found == numbers_.end() ? 0 : found->second;
    }

    File const& file_;
    Cursor cursor_;
    GgufSummary summary_;
    std::uint64_t key_values_ = 0;
    std::uint64_t alignment_ = default_alignment;
    std::set<std::string> keys_;
    std::map<std::string, std::uint64_t> numbers_;
    std::set<std::string> names_;
    std::vector<Range> ranges_;
};

Result<void> Checker::header()
{
    auto const magic = cursor_.number<std::uint32_t>("the magic number");
    if (!magic || *magic != 0x46554747U) {
        return fail(ErrorKind::malformed, "this is not a GGUF file: it does not begin with GGUF");
    }
    auto const version = cursor_.number<std::uint32_t>("the version");
    auto const tensor_count = cursor_.number<std::uint64_t>("the tensor count");
    auto const key_values = cursor_.number<std::uint64_t>("the metadata count");
    if (!version || !tensor_count || !key_values) {
        return fail(ErrorKind::malformed, "the file ends within its header");
    }
    if (*version != 2 && *version != 3) {
        return fail(ErrorKind::malformed, "GGUF version {} is not supported, only 2 and 3 in little-endian", *version);
    }
    if (*tensor_count > max_tensors || *key_values > max_key_values) {
        return fail(ErrorKind::too_large, "the file claims {} tensors and {} metadata values, at most {} and {} are read",
                    *tensor_count, *key_values, max_tensors, max_key_values);
    }
    summary_.version = *version;
    summary_.tensors = *tensor_count;
    key_values_ = *key_values;
    return {};
}

Result<Value> Checker::array(std::string const& what)
{
    auto const type = cursor_.number<std::uint32_t>(what);
    auto const count = cursor_.number<std::uint64_t>(what);
    if (!type || !count) {
        return fail(ErrorKind::malformed, "{} is cut off", what);
    }
    auto const size = size_of(*type);
    if (!size || *type == value_array) {
        return fail(ErrorKind::malformed, "{} is an array of type {}", what, *type);
    }
    if (*count > max_array_elements) {
        return fail(ErrorKind::too_large, "{} has {} elements, at most {} are read", what, *count, max_array_elements);
    }
    if (*size > 0) {
        if (auto skipped = cursor_.skip(*size * *count, what); !skipped) {
            return std::unexpected(skipped.error());
        }
    } else {
        for (std::uint64_t index = 0; index < *count; ++index) {
            if (auto skipped = cursor_.skip_text(what); !skipped) {
                return std::unexpected(skipped.error());
            }
        }
    }
    return Value{.type = value_array, .number = 0, .text = {}, .elements = *count};
}

Result<Value> Checker::value(std::string const& key)
{
    auto const what = fmt::format("metadata {}", key);
    auto const type = cursor_.number<std::uint32_t>(what);
    if (!type) {
        return std::unexpected(type.error());
    }
    auto const size = size_of(*type);
    if (!size) {
        return fail(ErrorKind::malformed, "{} has unknown type {}", what, *type);
    }
    if (*type == value_array) {
        return array(what);
    }
    auto made = Value{.type = *type, .number = 0, .text = {}};
    if (*type == value_text) {
        auto text = cursor_.text(max_text_bytes, what);
        if (!text) {
            return std::unexpected(text.error());
        }
        made.text = std::move(*text);
    } else if (*type == value_u32 || *type == value_i32) {
        auto const number = cursor_.number<std::uint32_t>(what);
        if (!number) {
            return std::unexpected(number.error());
        }
        made.number = *type == value_i32 && *number > INT32_MAX ? 0 : *number;
    } else if (*type == value_u64 || *type == value_i64) {
        auto const number = cursor_.number<std::uint64_t>(what);
        if (!number) {
            return std::unexpected(number.error());
        }
        made.number = *type == value_i64 && *number > INT64_MAX ? 0 : *number;
    } else if (*type == value_bool) {
        auto const number = cursor_.number<std::uint8_t>(what);
        if (!number || *number > 1) {
            return fail(ErrorKind::malformed, "{} is neither true nor false", what);
        }
        made.number = *number;
    } else if (auto skipped = cursor_.skip(*size, what); !skipped) {
        return std::unexpected(skipped.error());
    }
    return made;
}

Result<void> Checker::metadata()
{
    for (std::uint64_t index = 0; index < key_values_; ++index) {
        auto key = cursor_.text(max_key_bytes, fmt::format("metadata key {}", index));
        if (!key) {
            return std::unexpected(key.error());
        }
        if (key->empty() || !keys_.insert(*key).second) {
            return fail(ErrorKind::malformed, "metadata key {} \"{}\" is empty or there twice", index, *key);
        }
        auto found = value(*key);
        if (!found) {
            return std::unexpected(found.error());
        }
        if (auto taken = take_value(*key, std::move(*found)); !taken) {
            return taken;
        }
    }
    return {};
}

Result<void> Checker::take_value(std::string const& key, Value value)
{
    auto const is_text = value.type == value_text;
    if (key == "general.alignment") {
        auto const power_of_two = value.number > 0 && (value.number & (value.number - 1)) == 0;
        if (value.type != value_u32 || !power_of_two || value.number > max_alignment) {
            return fail(ErrorKind::malformed, "the alignment {} is not a power of two up to {}", value.number, max_alignment);
        }
        alignment_ = value.number;
    } else if (key == "general.architecture" || key == "general.name" || key == "tokenizer.ggml.model" ||
               key == "tokenizer.chat_template") {
        if (!is_text) {
            return fail(ErrorKind::malformed, "metadata {} is not a text", key);
        }
        if (key == "general.architecture") {
            summary_.architecture = value.text.substr(0, 64);
        } else if (key == "general.name") {
            summary_.name = value.text.substr(0, 128);
        } else if (key == "tokenizer.ggml.model") {
            summary_.tokenizer = value.text.substr(0, 64);
        } else {
            summary_.has_chat_template = !value.text.empty();
        }
    } else if (value.type == value_u32 || value.type == value_u64 || value.type == value_i32 || value.type == value_i64) {
        numbers_[key] = value.number;
    }
    return {};
}

Result<void> Checker::describe()
{
    if (summary_.architecture.empty()) {
        return fail(ErrorKind::malformed, "the file does not name its architecture");
    }
    summary_.context_length = number_of("context_length");
    summary_.embedding_length = number_of("embedding_length");
    summary_.block_count = number_of("block_count");
    summary_.head_count = number_of("attention.head_count");
    summary_.key_value_heads = number_of("attention.head_count_kv");
    summary_.is_embedding = numbers_.contains(summary_.architecture + ".pooling_type");
    return {};
}

Result<std::uint64_t> Checker::tensor_bytes(std::string const& name, TensorType const& type,
                                            std::array<std::uint64_t, max_dimensions> const& dimensions)
{
    if (dimensions[0] % type.block != 0) {
        return fail(ErrorKind::malformed, "tensor {} has rows of {} numbers, not a multiple of {} as {} needs", name,
                    dimensions[0], type.block, type.name);
    }
    auto elements = std::optional<std::int64_t>(1);
    for (auto dimension : dimensions) {
        auto const factor = checked_cast<std::int64_t>(dimension);
        elements = elements && factor ? checked_multiply(*elements, *factor) : std::nullopt;
    }
    auto const bytes = elements ? checked_multiply<std::uint64_t>(static_cast<std::uint64_t>(*elements) / type.block, type.bytes)
                                : std::nullopt;
    if (!bytes) {
        return fail(ErrorKind::malformed, "the size of tensor {} does not fit 64 bits", name);
    }
    summary_.parameters += static_cast<std::uint64_t>(*elements);
    return *bytes;
}

Result<void> Checker::tensor(std::map<std::string_view, std::uint64_t>& bytes_of_type)
{
    auto name = cursor_.text(max_tensor_name, "a tensor name");
    if (!name) {
        return std::unexpected(name.error());
    }
    if (name->empty() || name->contains('\0') || !names_.insert(*name).second) {
        return fail(ErrorKind::malformed, "tensor name \"{}\" is empty, broken or there twice", *name);
    }
    auto const what = fmt::format("tensor {}", *name);
    auto const count = cursor_.number<std::uint32_t>(what);
    if (!count) {
        return std::unexpected(count.error());
    }
    if (*count == 0 || *count > max_dimensions) {
        return fail(ErrorKind::malformed, "{} has {} dimensions", what, *count);
    }
    auto dimensions = std::array<std::uint64_t, max_dimensions>{1, 1, 1, 1};
    for (std::uint32_t index = 0; index < *count; ++index) {
        auto const dimension = cursor_.number<std::uint64_t>(what);
        if (!dimension) {
            return std::unexpected(dimension.error());
        }
        if (*dimension == 0) {
            return fail(ErrorKind::malformed, "{} has a dimension of zero", what);
        }
        dimensions[index] = *dimension;
    }
    auto const type_id = cursor_.number<std::uint32_t>(what);
    auto const offset = cursor_.number<std::uint64_t>(what);
    if (!type_id || !offset) {
        return fail(ErrorKind::malformed, "{} is cut off", what);
    }
    auto const type = std::ranges::find(tensor_types, *type_id, &TensorType::id);
    if (type == tensor_types.end()) {
        return fail(ErrorKind::malformed, "{} has type {}, which no file may hold", what, *type_id);
    }
    auto const bytes = tensor_bytes(*name, *type, dimensions);
    if (!bytes) {
        return std::unexpected(bytes.error());
    }
    auto const end = checked_add(*offset, *bytes);
    if (*offset % alignment_ != 0 || !end) {
        return fail(ErrorKind::malformed, "{} begins at {}, which is not a multiple of {}", what, *offset, alignment_);
    }
    bytes_of_type[type->name] += *bytes;
    summary_.weight_bytes += *bytes;
    ranges_.push_back({*offset, *end, std::move(*name)});
    return {};
}

Result<void> Checker::tensors()
{
    auto bytes_of_type = std::map<std::string_view, std::uint64_t>{};
    for (std::uint64_t index = 0; index < summary_.tensors; ++index) {
        if (auto taken = tensor(bytes_of_type); !taken) {
            return taken;
        }
    }
    auto const largest = std::ranges::max_element(bytes_of_type, {}, [](auto const& entry) { return entry.second; });
    if (largest != bytes_of_type.end()) {
        summary_.quantisation = largest->first;
    }
    return {};
}

Result<void> Checker::data()
{
    if (ranges_.empty()) {
        return {};
    }
    auto const start = checked_add(cursor_.position(), alignment_ - 1);
    auto const begin = start ? *start & ~(alignment_ - 1) : UINT64_MAX;
    if (begin > file_.size()) {
        return fail(ErrorKind::malformed, "the file ends before its tensor data");
    }
    auto const room = file_.size() - begin;
    std::ranges::sort(ranges_, {}, &Range::begin);
    auto const* before = static_cast<Range const*>(nullptr);
    for (auto const& range : ranges_) {
        if (range.end > room) {
            return fail(ErrorKind::malformed, "tensor {} ends {} bytes behind the end of the file", range.name,
                        range.end - room);
        }
        if (before != nullptr && range.begin < before->end) {
            return fail(ErrorKind::malformed, "tensors {} and {} overlap", before->name, range.name);
        }
        before = &range;
    }
    return {};
}

}  // namespace

std::uint64_t GgufSummary::cache_bytes_per_token() const
{
    if (head_count == 0 || embedding_length < head_count) {
        return 0;
    }
    auto const heads = key_value_heads > 0 ? key_value_heads : head_count;
    auto const width = checked_multiply(embedding_length / head_count, heads);
    auto const values = width ? checked_multiply(*width, block_count) : std::nullopt;
    return values ? checked_multiply<std::uint64_t>(*values, 2 * 2).value_or(0) : 0;
}

Result<GgufSummary> check_gguf(File const& file)
{
    return Checker(file).check();
}

}  // namespace plexus::models
