#include "models/gguf_header.h"

#include "base/checked.h"

namespace plexus::models {

namespace {

constexpr std::uint32_t text_type = 8;
constexpr std::uint32_t array_type = 9;
constexpr std::size_t window_bytes = 64 << 10;
constexpr std::uint32_t max_tensor_dimensions = 4;

/// Bytes of one value of a type of fixed size; 0 for others.
constexpr std::uint64_t width_of(std::uint32_t type)
{
    constexpr auto widths = std::array<std::uint64_t, 13>{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return type < widths.size() ? widths[type] : 0;
}

/// Reads a file front to back through a small window.
class Walker {
public:
    explicit Walker(File const& file) : file_(file), limit_(std::min<std::uint64_t>(file.size(), max_header_bytes)) {}

    std::uint64_t position() const { return position_; }

    template <typename T>
    Result<T> number()
    {
        if (sizeof(T) > limit_ - position_) {
            return cut_off();
        }
        auto bytes = std::array<std::byte, sizeof(T)>{};
        if (auto read = copy(bytes); !read) {
            return std::unexpected(read.error());
        }
        return load_little_endian<T>(bytes.data());
    }

    Result<std::string> text(std::uint64_t most)
    {
        auto const length = number<std::uint64_t>();
        if (!length) {
            return std::unexpected(length.error());
        }
        if (*length > most) {
            return fail(ErrorKind::too_large, "a name has {} bytes, at most {} are read", *length, most);
        }
        if (*length > limit_ - position_) {
            return cut_off();
        }
        auto text = std::string(static_cast<std::size_t>(*length), '\0');
        if (auto read = copy(std::as_writable_bytes(std::span(text.data(), text.size()))); !read) {
            return std::unexpected(read.error());
        }
        return text;
    }

    Result<void> skip(std::optional<std::uint64_t> count)
    {
        if (!count || *count > limit_ - position_) {
            return cut_off();
        }
        position_ += *count;
        return {};
    }

    Result<void> skip_text()
    {
        auto const length = number<std::uint64_t>();
        return length ? skip(*length) : std::unexpected(length.error());
    }

private:
    std::unexpected<Error> cut_off() const
    {
        return fail(ErrorKind::malformed, "the file ends, or its header is too long, within its header");
    }

    Result<void> copy(MutableByteView target)
    {
        while (!target.empty()) {
            auto const is_within = position_ >= window_begin_ && position_ < window_begin_ + window_.size();
            if (!is_within) {
                window_.resize(window_bytes);
                auto const count = file_.read_at(position_, window_);
                if (!count) {
                    return std::unexpected(count.error());
                }
                if (*count == 0) {
                    return cut_off();
                }
                window_.resize(*count);
                window_begin_ = position_;
            }
            auto const from = ByteView(window_).subspan(static_cast<std::size_t>(position_ - window_begin_));
            auto const step = std::min(from.size(), target.size());
            std::memcpy(target.data(), from.data(), step);
            target = target.subspan(step);
            position_ += step;
        }
        return {};
    }

    File const& file_;
    std::uint64_t limit_;
    std::uint64_t position_ = 0;
    std::uint64_t window_begin_ = 0;
    Bytes window_;
};

Result<void> skip_array(Walker& walker)
{
    auto const type = walker.number<std::uint32_t>();
    auto const count = type ? walker.number<std::uint64_t>() : std::unexpected(type.error());
    if (!count) {
        return std::unexpected(count.error());
    }
    if (*type != text_type) {
        if (width_of(*type) == 0) {
            return fail(ErrorKind::malformed, "an array has elements of type {}", *type);
        }
        return walker.skip(checked_multiply(width_of(*type), *count));
    }
    for (std::uint64_t index = 0; index < *count; ++index) {
        if (auto skipped = walker.skip_text(); !skipped) {
            return skipped;
        }
    }
    return {};
}

Result<GgufHeader::Value> read_value(Walker& walker)
{
    auto key = walker.text(max_key_bytes);
    auto const type = key ? walker.number<std::uint32_t>() : std::unexpected(key.error());
    if (!type) {
        return std::unexpected(type.error());
    }
    auto value = GgufHeader::Value{std::move(*key), *type, walker.position(), 0};
    auto skipped = *type == text_type    ? walker.skip_text()
                   : *type == array_type ? skip_array(walker)
                   : width_of(*type) > 0 ? walker.skip(width_of(*type))
                                         : fail(ErrorKind::malformed, "a value has type {}", *type);
    if (!skipped) {
        return std::unexpected(skipped.error());
    }
    value.length = walker.position() - value.offset;
    return value;
}

Result<GgufHeader::Tensor> read_tensor(Walker& walker)
{
    auto name = walker.text(max_tensor_name);
    auto const count = name ? walker.number<std::uint32_t>() : std::unexpected(name.error());
    if (!count) {
        return std::unexpected(count.error());
    }
    if (*count > max_tensor_dimensions) {
        return fail(ErrorKind::malformed, "a tensor has {} dimensions", *count);
    }
    auto tensor = GgufHeader::Tensor{.name = std::move(*name), .dimensions = {}};
    for (std::uint32_t index = 0; index < *count; ++index) {
        auto const dimension = walker.number<std::uint64_t>();
        if (!dimension) {
            return std::unexpected(dimension.error());
        }
        tensor.dimensions.push_back(*dimension);
    }
    auto const type = walker.number<std::uint32_t>();
    auto const offset = type ? walker.number<std::uint64_t>() : std::unexpected(type.error());
    if (!offset) {
        return std::unexpected(offset.error());
    }
    tensor.type = *type;
    tensor.offset = *offset;
    return tensor;
}

Result<void> find_data(GgufHeader& header, File const& file, std::uint64_t behind_header)
{
    header.alignment = header.find("general.alignment") == nullptr
                           ? 32
                           : header.number(file, "general.alignment").value_or(0);
    if (header.alignment == 0 || header.alignment > max_alignment || (header.alignment & (header.alignment - 1)) != 0) {
        return fail(ErrorKind::malformed, "general.alignment is no power of two up to {}", max_alignment);
    }
    auto const begin = (behind_header + header.alignment - 1) & ~(header.alignment - 1);
    header.data_begin = std::min(begin, file.size());
    header.data_length = file.size() - header.data_begin;
    return {};
}

}  // namespace

GgufHeader::Value const* GgufHeader::find(std::string_view key) const
{
    auto const found = std::ranges::find(values, key, &Value::key);
    return found == values.end() ? nullptr : &*found;
}

std::string GgufHeader::text(File const& file, std::string_view key, std::size_t limit) const
{
    constexpr std::size_t length_bytes = 8;
    auto const* value = find(key);
    if (value == nullptr || value->type != text_type || value->length - length_bytes > limit) {
        return {};
    }
    auto text = std::string(static_cast<std::size_t>(value->length - length_bytes), '\0');
    auto const read = file.read_at(value->offset + length_bytes,
                                   std::as_writable_bytes(std::span(text.data(), text.size())));
    return read && *read == text.size() ? text : std::string{};
}

std::optional<std::uint64_t> GgufHeader::number(File const& file, std::string_view key) const
{
    constexpr auto unsigned_types = std::array<std::uint32_t, 4>{0, 2, 4, 10};
    constexpr auto signed_types = std::array<std::uint32_t, 4>{1, 3, 5, 11};
    auto const* value = find(key);
    auto const is_signed = value != nullptr && std::ranges::find(signed_types, value->type) != signed_types.end();
    if (value == nullptr || (!is_signed && std::ranges::find(unsigned_types, value->type) == unsigned_types.end())) {
        return std::nullopt;
    }
    auto bytes = std::array<std::byte, 8>{};
    auto const length = static_cast<std::size_t>(value->length);
    auto const read = file.read_at(value->offset, std::span(bytes).first(length));
    if (!read || *read != length || (is_signed && std::to_integer<unsigned>(bytes[length - 1]) >= 0x80)) {
        return std::nullopt;
    }
    return load_little_endian<std::uint64_t>(bytes.data());
}

Result<GgufHeader> read_gguf_header(File const& file)
{
    constexpr std::uint32_t magic = 0x46554747;  // "GGUF"
    auto walker = Walker(file);
    auto header = GgufHeader{};
    auto const found = walker.number<std::uint32_t>();
    auto const version = found ? walker.number<std::uint32_t>() : std::unexpected(found.error());
    auto const tensors = version ? walker.number<std::uint64_t>() : std::unexpected(version.error());
    auto const values = tensors ? walker.number<std::uint64_t>() : std::unexpected(tensors.error());
    if (!values) {
        return std::unexpected(values.error());
    }
    if (*found != magic || *version < 2 || *version > 3) {
        return fail(ErrorKind::malformed, "no GGUF file of version 2 or 3");
    }
    if (*values > max_key_values || *tensors > max_tensors) {
        return fail(ErrorKind::too_large, "{} values and {} tensors are too many", *values, *tensors);
    }
    header.version = *version;
    for (std::uint64_t index = 0; index < *values; ++index) {
        auto value = read_value(walker);
        if (!value) {
            return std::unexpected(value.error());
        }
        header.values.push_back(std::move(*value));
    }
    for (std::uint64_t index = 0; index < *tensors; ++index) {
        auto tensor = read_tensor(walker);
        if (!tensor) {
            return std::unexpected(tensor.error());
        }
        header.tensors.push_back(std::move(*tensor));
    }
    if (auto placed = find_data(header, file, walker.position()); !placed) {
        return std::unexpected(placed.error());
    }
    return header;
}

}  // namespace plexus::models
