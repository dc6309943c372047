#include "models/gguf_metadata.h"

#include <cmath>

#include "base/checked.h"
#include "models/gguf.h"

namespace plexus::models {

namespace {

constexpr auto tokens_key = std::string_view("tokenizer.ggml.tokens");
constexpr auto template_key = std::string_view("tokenizer.chat_template");

template <typename T>
std::int64_t clamped(std::byte const* at)
{
    auto const number = load_little_endian<T>(at);
    return checked_cast<std::int64_t>(number).value_or(INT64_MAX);
}

/// Nothing for types that are no integers.
std::optional<std::int64_t> integer_at(GgufType type, std::byte const* at)
{
    switch (type) {
    case GgufType::u8:
    case GgufType::boolean: return clamped<std::uint8_t>(at);
    case GgufType::i8: return static_cast<std::int8_t>(load_little_endian<std::uint8_t>(at));
    case GgufType::u16: return clamped<std::uint16_t>(at);
    case GgufType::i16: return static_cast<std::int16_t>(load_little_endian<std::uint16_t>(at));
    case GgufType::u32: return clamped<std::uint32_t>(at);
    case GgufType::i32: return static_cast<std::int32_t>(load_little_endian<std::uint32_t>(at));
    case GgufType::u64: return clamped<std::uint64_t>(at);
    case GgufType::i64: return static_cast<std::int64_t>(load_little_endian<std::uint64_t>(at));
    default: return std::nullopt;
    }
}

bool is_finite(GgufType type, std::byte const* at)
{
    return type == GgufType::f32   ? std::isfinite(std::bit_cast<float>(load_little_endian<std::uint32_t>(at)))
           : type == GgufType::f64 ? std::isfinite(std::bit_cast<double>(load_little_endian<std::uint64_t>(at)))
                                   : true;
}

/// Counts what nests in a chat template. llama.cpp reads it by recursion, without a bound of its own.
class TemplateShape {
public:
    void add(std::string_view piece)
    {
        brackets_ += std::ranges::count_if(piece,
                                           [](char symbol) { return symbol == '(' || symbol == '[' || symbol == '{'; });
        signs_ += std::ranges::count_if(piece, [](char symbol) { return symbol == '-' || symbol == '+'; });
    }
    bool is_too_deep() const { return brackets_ > max_template_brackets || signs_ > max_template_signs; }

private:
    std::ptrdiff_t brackets_ = 0;
    std::ptrdiff_t signs_ = 0;
};

class MetadataReader {
public:
    explicit MetadataReader(GgufReader& reader) : reader_(reader) {}

    Result<GgufMetadata> read(std::uint64_t count)
    {
        for (std::uint64_t index = 0; index < count; ++index) {
            if (auto done = entry(index); !done) {
                return std::unexpected(done.error());
            }
        }
        return std::move(metadata_);
    }

private:
    Result<void> entry(std::uint64_t index);
    Result<GgufValue> value(std::string const& key, std::string const& what);
    Result<GgufValue> text(std::string const& key, std::string const& what);
    Result<GgufValue> array(std::string const& key, std::string const& what);
    Result<GgufValue> numbers(GgufValue value, std::string const& what);
    Result<GgufValue> texts(GgufValue value, std::string const& what);
    Result<GgufValue> tokens(GgufValue value, std::string const& what);

    GgufReader& reader_;
    GgufMetadata metadata_;
    std::uint64_t texts_ = 0;
};

Result<void> MetadataReader::entry(std::uint64_t index)
{
    auto const view = reader_.short_text(max_key_bytes, fmt::format("metadata key {}", index));
    if (!view) {
        return std::unexpected(view.error());
    }
    auto key = std::string(*view);
    auto const is_printable = std::ranges::all_of(key, [](char symbol) { return symbol > ' ' && symbol < 0x7f; });
    if (key.empty() || !is_printable) {
        return fail(ErrorKind::malformed, "metadata key {} is empty or not made of printable letters", index);
    }
    if (metadata_.values.contains(key)) {
        return fail(ErrorKind::malformed, "metadata key {} is there twice", key);
    }
    auto found = value(key, fmt::format("metadata {}", key));
    if (!found) {
        return std::unexpected(found.error());
    }
    metadata_.values.emplace(std::move(key), std::move(*found));
    return {};
}

Result<GgufValue> MetadataReader::value(std::string const& key, std::string const& what)
{
    auto const number = reader_.number<std::uint32_t>(what);
    if (!number) {
        return std::unexpected(number.error());
    }
    auto const type = GgufType{*number};
    if (!size_of(type)) {
        return fail(ErrorKind::malformed, "{} has type {}, which does not exist", what, *number);
    }
    if (type == GgufType::array) {
        return array(key, what);
    }
    if (type == GgufType::text) {
        return text(key, what);
    }
    return and_then(numbers(GgufValue{.type = type}, what), [&](GgufValue one) -> Result<GgufValue> {
        if (type == GgufType::boolean && one.integers.front() > 1) {
            return fail(ErrorKind::malformed, "{} is neither true nor false", what);
        }
        return one;
    });
}

Result<GgufValue> MetadataReader::text(std::string const& key, std::string const& what)
{
    auto const is_template = key.starts_with(template_key);
    auto shape = TemplateShape{};
    auto const length = reader_.text_length(is_template ? max_template_bytes : max_text_bytes, what);
    if (!length) {
        return std::unexpected(length.error());
    }
    auto made = GgufValue{.type = GgufType::text, .count = *length};
    for (auto left = *length; left > 0;) {
        auto const piece = reader_.bytes(std::min<std::uint64_t>(left, GgufReader::window_bytes), what);
        if (!piece) {
            return std::unexpected(piece.error());
        }
        if (std::ranges::count(*piece, std::byte{0}) > 0) {
            return fail(ErrorKind::malformed, "{} has a zero byte within", what);
        }
        shape.add(as_text(*piece));
        made.text += as_text(piece->first(std::min(piece->size(), GgufValue::kept_text_bytes - made.text.size())));
        left -= piece->size();
    }
    if (is_template && shape.is_too_deep()) {
        return fail(ErrorKind::too_large, "{} has more than {} brackets or {} signs", what, max_template_brackets,
                    max_template_signs);
    }
    return made;
}

Result<GgufValue> MetadataReader::array(std::string const& key, std::string const& what)
{
    auto const number = reader_.number<std::uint32_t>(what);
    auto const count = and_then(number, [&](auto) { return reader_.number<std::uint64_t>(what); });
    if (!count) {
        return std::unexpected(count.error());
    }
    auto value = GgufValue{.type = GgufType{*number}, .is_array = true, .count = *count};
    if (!size_of(value.type) || value.type == GgufType::array) {
        return fail(ErrorKind::malformed, "{} is an array of type {}", what, *number);
    }
    if (value.type != GgufType::text) {
        return numbers(std::move(value), what);
    }
    return key == tokens_key ? tokens(std::move(value), what) : texts(std::move(value), what);
}

Result<GgufValue> MetadataReader::numbers(GgufValue value, std::string const& what)
{
    auto const size = size_of(value.type).value_or(0);
    auto const total = checked_multiply(size, value.count);
    if (!total || *total > reader_.remaining()) {
        return fail(ErrorKind::malformed, "{} has {} elements, the file has {} bytes left", what, value.count,
                    reader_.remaining());
    }
    auto const is_real = value.type == GgufType::f32 || value.type == GgufType::f64;
    if (!is_real && value.count > GgufValue::kept_integers) {
        auto const skipped = reader_.skip(*total, what);
        return skipped ? Result<GgufValue>(std::move(value)) : std::unexpected(skipped.error());
    }
    for (std::uint64_t index = 0; index < value.count; ++index) {
        auto const bytes = reader_.bytes(size, what);
        if (!bytes) {
            return std::unexpected(bytes.error());
        }
        if (!is_finite(value.type, bytes->data())) {
            return fail(ErrorKind::malformed, "{} is infinite or not a number", what);
        }
        if (auto const integer = integer_at(value.type, bytes->data())) {
            value.integers.push_back(*integer);
        }
    }
    return value;
}

Result<GgufValue> MetadataReader::texts(GgufValue value, std::string const& what)
{
    if (value.count > max_texts - texts_) {
        return fail(ErrorKind::too_large, "{} has {} texts, at most {} are read of a file", what, value.count,
                    max_texts);
    }
    texts_ += value.count;
    for (std::uint64_t index = 0; index < value.count; ++index) {
        if (auto const text = reader_.short_text(max_element_bytes, what); !text) {
            return std::unexpected(text.error());
        }
    }
    return value;
}

Result<GgufValue> MetadataReader::tokens(GgufValue value, std::string const& what)
{
    if (value.count == 0 || value.count > max_tokens) {
        return fail(ErrorKind::too_large, "the vocabulary has {} tokens, 1 to {} are read", value.count, max_tokens);
    }
    auto sums = std::vector<std::size_t>{};
    for (std::uint64_t index = 0; index < value.count; ++index) {
        auto const text = reader_.short_text(max_element_bytes, what);
        if (!text) {
            return std::unexpected(text.error());
        }
        auto const word = text->substr(0, text->find('\0'));
        sums.push_back(word.empty() ? std::hash<std::string>()(fmt::format("[EMPTY_{}]", index))
                                    : std::hash<std::string_view>()(word));
    }
    std::ranges::sort(sums);
    metadata_.tokens = {.count = value.count, .are_distinct = std::ranges::adjacent_find(sums) == sums.end()};
    return value;
}

}  // namespace

bool GgufValue::is_integer() const
{
    return !integers.empty();
}

GgufValue const* GgufMetadata::find(std::string_view key) const
{
    auto const found = values.find(key);
    return found == values.end() ? nullptr : &found->second;
}

std::string_view GgufMetadata::text(std::string_view key) const
{
    auto const* value = find(key);
    return value != nullptr && value->is_text() ? std::string_view(value->text) : std::string_view();
}

std::optional<std::int64_t> GgufMetadata::integer(std::string_view key) const
{
    auto const* value = find(key);
    return value != nullptr && !value->is_array && value->is_integer() ? std::optional(value->integers.front())
                                                                       : std::nullopt;
}

Result<GgufMetadata> read_metadata(GgufReader& reader, std::uint64_t count)
{
    return MetadataReader(reader).read(count);
}

}  // namespace plexus::models
