#include "models/gguf.h"

#include "base/checked.h"
#include "models/gguf_rules.h"
#include "models/gguf_tensors.h"

namespace plexus::models {

namespace {

constexpr std::uint64_t rank_pooling = 4;  // LLAMA_POOLING_TYPE_RANK

struct Header {
    std::uint32_t version = 0;
    std::uint64_t tensors = 0;
    std::uint64_t values = 0;
};

Result<Header> read_header(GgufReader& reader)
{
    auto const magic = reader.number<std::uint32_t>("the magic number");
    if (!magic || *magic != 0x46554747U) {
        return fail(ErrorKind::malformed, "this is not a GGUF file: it does not begin with GGUF");
    }
    auto const version = reader.number<std::uint32_t>("the version");
    auto const tensors = and_then(version, [&](auto) { return reader.number<std::uint64_t>("the tensor count"); });
    auto const values = and_then(tensors, [&](auto) { return reader.number<std::uint64_t>("the metadata count"); });
    if (!values) {
        return std::unexpected(values.error());
    }
    if (*version != 2 && *version != 3) {
        return fail(ErrorKind::malformed, "GGUF version {} is not supported, only 2 and 3 in little-endian", *version);
    }
    if (*tensors > max_tensors || *values > max_key_values) {
        return fail(ErrorKind::too_large,
                    "the file claims {} tensors and {} metadata values, at most {} and {} are read", *tensors, *values,
                    max_tensors, max_key_values);
    }
    return Header{*version, *tensors, *values};
}

Result<std::uint64_t> alignment_of(GgufMetadata const& metadata)
{
    auto const* value = metadata.find("general.alignment");
    if (value == nullptr) {
        return min_alignment;
    }
    auto const is_number = value->type == GgufType::u32 && !value->is_array;
    auto const alignment = is_number ? static_cast<std::uint64_t>(value->integers.front()) : 0;
    if (!std::has_single_bit(alignment) || alignment < min_alignment || alignment > max_alignment) {
        return fail(ErrorKind::malformed, "the alignment {} is not a power of two from {} to {}", alignment,
                    min_alignment, max_alignment);
    }
    return alignment;
}

Result<void> check_meaning(GgufMetadata const& metadata, bool has_tensors)
{
    auto done = check_identity(metadata);
    if (done && has_tensors) {
        done = check_architecture(metadata);
    }
    return done ? check_vocabulary(metadata) : done;
}

Result<void> check_data(File const& file, std::uint64_t header_end, std::uint64_t alignment, std::uint64_t data_end)
{
    auto const begin = (header_end + alignment - 1) / alignment * alignment;  // header_end is at most max_header_bytes
    if (begin > file.size() || data_end > file.size() - begin) {
        return fail(ErrorKind::malformed, "the tensors end {} bytes behind byte {}, the file has {} bytes", data_end,
                    begin, file.size());
    }
    return {};
}

std::uint64_t first_of(GgufMetadata const& metadata, std::string const& key)
{
    auto const* value = metadata.find(key);
    return value == nullptr || !value->is_integer() ? 0 : std::max<std::int64_t>(value->integers.front(), 0);
}

/// Of models with Mamba's two states; 0 for others and for what does not fit 64 bits.
std::uint64_t state_values(std::uint64_t groups, std::uint64_t state, std::uint64_t inner, std::uint64_t kernel)
{
    auto const width = checked_multiply<std::uint64_t>(2 * (groups & UINT32_MAX), state);
    auto const row = width ? checked_add(*width, inner) : std::nullopt;
    auto const convolution = row ? checked_multiply(*row, std::max<std::uint64_t>(kernel, 1) - 1) : std::nullopt;
    auto const recurrent = checked_multiply(state, inner);
    return convolution && recurrent ? checked_add(*convolution, *recurrent).value_or(0) : 0;
}

GgufSummary describe(Header const& header, GgufMetadata const& metadata, GgufTensors tensors)
{
    auto const architecture = std::string(metadata.text("general.architecture"));
    auto const number = [&](std::string_view name) {
        return first_of(metadata, fmt::format("{}.{}", architecture, name));
    };
    return {
        .version = header.version,
        .architecture = architecture,
        .name = std::string(metadata.text("general.name").substr(0, 128)),
        .quantisation = std::move(tensors.quantisation),
        .tokenizer = std::string(metadata.text("tokenizer.ggml.model").substr(0, 64)),
        .tensors = header.tensors,
        .parameters = tensors.parameters,
        .weight_bytes = tensors.weight_bytes,
        .context_length = number("context_length"),
        .embedding_length = number("embedding_length"),
        .block_count = number("block_count"),
        .head_count = number("attention.head_count"),
        .key_value_heads = number("attention.head_count_kv"),
        .key_length = number("attention.key_length"),
        .value_length = number("attention.value_length"),
        .feed_forward_length = std::max(number("feed_forward_length"), number("expert_feed_forward_length")),
        .sliding_window = number("attention.sliding_window"),
        .state_values = state_values(number("ssm.group_count"), number("ssm.state_size"), number("ssm.inner_size"),
                                     number("ssm.conv_kernel")),
        .full_attention_interval = number("full_attention_interval"),
        .vocabulary_size = metadata.tokens ? metadata.tokens->count : 0,
        .has_chat_template = !metadata.text("tokenizer.chat_template").empty(),
        .is_embedding = metadata.find(architecture + ".pooling_type") != nullptr,
        .is_reranker = number("pooling_type") == rank_pooling,
    };
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
    auto reader = GgufReader(file);
    auto const header = read_header(reader);
    if (!header) {
        return std::unexpected(header.error());
    }
    auto const metadata = read_metadata(reader, header->values);
    if (!metadata) {
        return std::unexpected(metadata.error());
    }
    auto const alignment = alignment_of(*metadata);
    if (!alignment) {
        return std::unexpected(alignment.error());
    }
    if (auto meant = check_meaning(*metadata, header->tensors > 0); !meant) {
        return std::unexpected(meant.error());
    }
    auto tensors = read_tensors(reader, header->tensors, *alignment);
    if (!tensors) {
        return std::unexpected(tensors.error());
    }
    if (auto there = check_data(file, reader.position(), *alignment, tensors->data_end);
        header->tensors > 0 && !there) {
        return std::unexpected(there.error());
    }
    return describe(*header, *metadata, std::move(*tensors));
}

}  // namespace plexus::models
