#include "models/gguf_refused_testing.h"

#include "models/gguf.h"

namespace plexus::models {

namespace {

using Tensor = GgufBuilder::Tensor;
constexpr auto huge = std::uint64_t{1} << 62;
constexpr auto not_a_number = 0x7fc00000U;

class Collection {
public:
    /// `change` breaks a tiny model.
    void add(std::string_view name, std::string_view reason, auto change)
    {
        auto builder = tiny_llama();
        change(builder);
        add_bytes(name, reason, builder.build());
    }

    /// As above, for what changes one tensor; those behind it are moved.
    void add_tensor(std::string_view name, std::string_view reason, std::size_t index, auto change)
    {
        add(name, reason, [&](GgufBuilder& file) {
            change(file.tensors.at(index));
            auto const broken = file.tensors.at(index).offset;
            lay_out(file);
            file.data_bytes = std::min<std::size_t>(file.data_bytes, 4096);
            file.tensors.at(index).offset = broken;
        });
    }

    void add_bytes(std::string_view name, std::string_view reason, Bytes bytes)
    {
        files.push_back({fmt::format("{}.gguf", name), std::move(bytes), std::string(reason)});
    }

    std::vector<RefusedFile> files;
};

void headers(Collection& all)
{
    all.add_bytes("magic.empty", "not a GGUF file", {});
    all.add_bytes("magic.zip", "not a GGUF file", to_bytes("PK\x03\x04 an archive is no model"));
    all.add_bytes("magic.reversed", "not a GGUF file", to_bytes("FUGG\x03 from another world"));
    all.add_bytes("cut.within-header", "the file has", to_bytes("GGUF\x03"));
    for (auto version : {0U, 1U, 4U, 0x03000000U}) {
        all.add(fmt::format("version.{:x}", version), "is not supported", [=](auto& file) { file.version = version; });
    }
    for (auto count : {max_tensors + 1, huge, UINT64_MAX}) {
        all.add(fmt::format("count.tensors-{:x}", count), "the file claims",
                [=](auto& file) { file.tensor_count = count; });
        all.add(fmt::format("count.values-{:x}", count), "the file claims",
                [=](auto& file) { file.value_count = count; });
    }
    all.add("count.tensors-one-more", "", [](auto& file) { file.tensor_count = file.tensors.size() + 1; });
    auto const whole = tiny_llama().build();
    for (std::size_t size : {300, 900}) {
        all.add_bytes(fmt::format("cut.at-{}", size), "the file has",
                      Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)));
    }
    all.add_bytes("cut.last-byte", "the file has", Bytes(whole.begin(), whole.end() - 1));
}

void keys_and_values(Collection& all)
{
    all.add("key.empty", "is empty", [](auto& file) { file.raw("", 4, Bytes(4)); });
    all.add("key.twice", "is there twice", [](auto& file) { file.raw("llama.block_count", 4, Bytes(4)); });
    all.add("key.zero-byte", "printable",
            [](auto& file) { file.raw(std::string("general.alignment\0", 18), 4, Bytes(4)); });
    all.add("key.long", "at most", [](auto& file) { file.raw(std::string(max_key_bytes + 1, 'k'), 4, Bytes(4)); });
    for (auto type : {13U, 0xffffffffU}) {
        all.add(fmt::format("type.value-{:x}", type), "which does not exist",
                [=](auto& file) { file.raw("x", type, Bytes(8)); });
    }
    all.add("type.array-of-arrays", "an array of type", [](auto& file) { file.array("x", 9, 1); });
    all.add("type.array-of-unknown", "an array of type", [](auto& file) { file.array("x", 77, 0); });
    all.add("type.bool-of-two", "neither true nor false", [](auto& file) { file.raw("x", 7, Bytes{std::byte{2}}); });
    for (auto size : {std::uint64_t{10'000}, huge, UINT64_MAX, UINT64_MAX - 7}) {
        auto const name = fmt::format("{:x}", size);
        all.add("length.text-" + name, "claims", [=](auto& file) { file.raw("x", 8, GgufBuilder::bytes_of(size)); });
        all.add("length.element-" + name, "claims",
                [=](auto& file) { file.array("x", 8, 1, GgufBuilder::bytes_of(size)); });
        all.add("length.bytes-" + name, "elements", [=](auto& file) { file.array("x", 0, size); });
        all.add("length.doubles-" + name, "elements", [=](auto& file) { file.array("x", 12, size); });
    }
    all.add("length.texts-of-nothing", "texts", [](auto& file) { file.array("x", 8, huge); });
    all.add("template.brackets", "brackets",
            [](auto& file) { file.text("tokenizer.chat_template", "{{ " + std::string(4000, '(')); });
    all.add("template.blocks", "brackets",
            [](auto& file) { file.text("tokenizer.chat_template.tool_use", std::string(2100, '{')); });
    all.add("text.zero-byte", "zero byte",
            [](auto& file) { file.text("general.architecture", std::string_view("llama\0x", 7)); });
    all.add("number.not-a-number", "not a number",
            [](auto& file) { file.raw("llama.rope.freq_base", 6, GgufBuilder::bytes_of(not_a_number)); });
    all.add("number.infinite-list", "infinite", [](auto& file) { file.numbers("x", {0x7f800000U}, 6); });
}

void alignments(Collection& all)
{
    for (auto alignment : {0U, 1U, 16U, 33U, 0x80000000U}) {
        all.add(fmt::format("alignment.{:x}", alignment), "the alignment",
                [=](auto& file) { file.number("general.alignment", alignment); });
    }
    all.add("alignment.text", "the alignment", [](auto& file) { file.text("general.alignment", "32"); });
    all.add("alignment.64-bits", "the alignment",
            [](auto& file) { file.raw("general.alignment", 10, GgufBuilder::bytes_of<std::uint64_t>(32)); });
    all.add("alignment.list", "the alignment", [](auto& file) { file.numbers("general.alignment", {32}); });
}

void identities(Collection& all)
{
    all.add("identity.none", "does not name its architecture", [](auto& file) { file.remove("general.architecture"); });
    all.add("identity.number", "does not name its architecture",
            [](auto& file) { file.number("general.architecture", 1); });
    all.add("identity.unknown", "none that this version can run",
            [](auto& file) { file.text("general.architecture", "clip"); });
    all.add("identity.adapter", "is no model", [](auto& file) { file.text("general.type", "adapter"); });
    all.add("identity.part", "parts of a model",
            [](auto& file) { file.raw("split.count", 2, GgufBuilder::bytes_of<std::uint16_t>(3)); });
    all.add("identity.file-type", "the file type", [](auto& file) { file.number("general.file_type", 1u << 31); });
    all.add("identity.template-number", "is not a text", [](auto& file) { file.number("tokenizer.chat_template", 1); });
}

void layers(Collection& all)
{
    for (auto count : {0U, 513U, 0xffffffffU}) {
        all.add(fmt::format("layers.{:x}", count), "llama.block_count",
                [=](auto& file) { file.number("llama.block_count", count); });
    }
    all.add("layers.none", "how many layers", [](auto& file) { file.remove("llama.block_count"); });
    all.add("layers.all-ahead", "predicting ahead", [](auto& file) { file.number("llama.nextn_predict_layers", 1); });
    all.add("width.zero", "embedding_length", [](auto& file) { file.number("llama.embedding_length", 0); });
    all.add("width.huge", "embedding_length", [](auto& file) { file.number("llama.embedding_length", 1u << 31); });
    all.add("width.negative", "feed_forward_length",
            [](auto& file) { file.numbers("llama.feed_forward_length", {0xffffffffU}, 5); });
    all.add("context.zero", "context_length", [](auto& file) { file.number("llama.context_length", 0); });
    all.add("context.huge", "context_length", [](auto& file) { file.number("llama.context_length", 0xffffffffU); });
    all.add("heads.none", "without attention heads", [](auto& file) { file.remove("llama.attention.head_count"); });
    all.add("heads.zero", "without attention heads", [](auto& file) { file.number("llama.attention.head_count", 0); });
    all.add("heads.zero-keys", "without attention heads",
            [](auto& file) { file.number("llama.attention.head_count_kv", 0); });
    all.add("heads.zero-in-list", "without attention heads",
            [](auto& file) { file.numbers("llama.attention.head_count", {0}); });
    all.add("heads.uneven", "cannot share", [](auto& file) {
        file.number("llama.attention.head_count", 8).number("llama.attention.head_count_kv", 3);
    });
    all.add("heads.more-than-width", "do not fit", [](auto& file) { file.number("llama.attention.head_count", 16); });
    all.add("heads.of-other-layers", "head counts",
            [](auto& file) { file.numbers("llama.attention.head_count", {2, 2, 2}); });
    all.add("heads.key-length-zero", "key_length", [](auto& file) { file.number("llama.attention.key_length", 0); });
    all.add("heads.compressed-keys-alone", "without values",
            [](auto& file) { file.number("llama.attention.key_length_mla", 8); });
    all.add("rope.odd", "must be even", [](auto& file) { file.number("llama.rope.dimension_count", 3); });
    all.add("rope.wider-than-head", "must be even", [](auto& file) { file.number("llama.rope.dimension_count", 64); });
    all.add("rope.whole-head", "unturned", [](auto& file) {
        file.text("general.architecture", "deepseek2")
            .number("deepseek2.context_length", 64)
            .number("deepseek2.block_count", 1);
        file.number("deepseek2.embedding_length", 8).number("deepseek2.attention.head_count", 2);
        file.number("deepseek2.expert_count", 2).number("deepseek2.expert_used_count", 1);
    });
    all.add("rope.sections", "has a sum of",
            [](auto& file) { file.numbers("llama.rope.dimension_sections", {8, 8, 8, 0}, 5); });
    all.add("rope.unknown-scaling", "which does not exist",
            [](auto& file) { file.text("llama.rope.scaling.type", "more"); });
    all.add("pooling.unknown", "pooling_type", [](auto& file) { file.number("llama.pooling_type", 5); });
    all.add("experts.more-used", "experts",
            [](auto& file) { file.number("llama.expert_count", 2).number("llama.expert_used_count", 3); });
    all.add("experts.none-used", "experts", [](auto& file) { file.number("llama.expert_count", 2); });
    all.add("experts.too-many", "expert_count",
            [](auto& file) { file.number("llama.expert_count", 1025).number("llama.expert_used_count", 1); });
    all.add("experts.groups", "groups", [](auto& file) {
        file.number("llama.expert_count", 4).number("llama.expert_used_count", 1).number("llama.expert_group_count", 3);
    });
    all.add("experts.no-gate", "expert_gating_func", [](auto& file) { file.number("llama.expert_gating_func", 0); });
    all.add("experts.unknown-gate", "expert_gating_func",
            [](auto& file) { file.number("llama.expert_gating_func", 9); });
}

void vocabularies(Collection& all)
{
    auto const tokens = std::string("tokenizer.ggml.tokens");
    all.add("tokens.none", "no list of tokens", [&](auto& file) { file.remove(tokens); });
    all.add("tokens.empty", "tokens", [&](auto& file) { file.texts(tokens, {}); });
    all.add("tokens.numbers", "no list of tokens", [&](auto& file) { file.numbers(tokens, {1, 2, 3, 4, 5, 6, 7}); });
    all.add("tokens.too-many", "tokens", [&](auto& file) { file.array(tokens, 8, max_tokens + 1); });
    all.add("tokens.twice", "the same token twice",
            [&](auto& file) { file.texts(tokens, {"<unk>", "<s>", "</s>", "<0x0A>", "a", "b", "a"}); });
    all.add("tokens.twice-to-the-zero-byte", "the same token twice", [&](auto& file) {
        file.texts(tokens, {"<unk>", "<s>", "</s>", "<0x0A>", std::string("a\0b", 3), std::string("a\0c", 3), "b"});
    });
    all.add("tokens.twice-by-number", "the same token twice",
            [&](auto& file) { file.texts(tokens, {"<unk>", "<s>", "</s>", "<0x0A>", "[EMPTY_5]", "", "b"}); });
    all.add("tokens.unknown-tokenizer", "the tokenizer", [](auto& file) { file.text("tokenizer.ggml.model", "none"); });
    all.add("tokens.without-merges", "merges",
            [](auto& file) { file.text("tokenizer.ggml.model", "gpt2").number("tokenizer.ggml.bos_token_id", 1); });
    all.add("scores.fewer", "elements for 7 tokens",
            [](auto& file) { file.numbers("tokenizer.ggml.scores", {0, 0, 0}, 6); });
    all.add("scores.bytes", "right type", [](auto& file) { file.array("tokenizer.ggml.scores", 0, 7, Bytes(7)); });
    all.add("scores.not-a-number", "not a number",
            [](auto& file) { file.numbers("tokenizer.ggml.scores", std::vector<std::uint32_t>(7, not_a_number), 6); });
    all.add("types.fewer", "elements for 7 tokens",
            [](auto& file) { file.numbers("tokenizer.ggml.token_type", {1}, 5); });
    all.add("types.text", "right type", [](auto& file) { file.text("tokenizer.ggml.token_type", "1111111"); });
    all.add("merges.numbers", "right type", [](auto& file) { file.numbers("tokenizer.ggml.merges", {1}); });
    all.add("special.outside", "bos_token_id", [](auto& file) { file.number("tokenizer.ggml.bos_token_id", 7); });
    all.add("special.minus-one", "eos_token_id",
            [](auto& file) { file.number("tokenizer.ggml.eos_token_id", 0xffffffffU); });
    all.add("special.added-not-there", "does not have",
            [](auto& file) { file.flag("tokenizer.ggml.add_sep_token", true); });
}

void tensors(Collection& all)
{
    constexpr std::size_t last = 10;
    auto const shape = [&](std::string_view name, std::string_view reason, std::vector<std::uint64_t> dimensions,
                           std::uint32_t type = 0) {
        all.add_tensor(name, reason, last, [&](Tensor& tensor) {
            tensor.dimensions = dimensions;
            tensor.type = type;
        });
    };
    shape("shape.no-dimensions", "0 dimensions", {});
    shape("shape.five-dimensions", "5 dimensions", {8, 8, 1, 1, 1});
    shape("shape.zero", "a dimension of zero", {8, 0});
    shape("shape.negative", "does not fit 64 bits", {UINT64_MAX});
    shape("shape.product-wraps", "does not fit 64 bits", {std::uint64_t{1} << 32, std::uint64_t{1} << 32});
    shape("shape.product-overflows", "does not fit 64 bits", {huge, 8});
    shape("shape.bytes-overflow", "does not fit 64 bits", {huge});
    shape("shape.padding-overflows", "", {INT64_MAX / 2 - 15});
    shape("shape.larger-than-file", "the tensors end", {8, 4096});
    shape("blocks.not-whole", "not a multiple of 32", {33, 2}, 2);
    shape("blocks.not-whole-k", "not a multiple of 256", {128, 2}, 12);
    for (auto type : {4U, 9U, 24U, 26U, 28U, 31U, 43U, 0xffffffffU}) {
        shape(fmt::format("weights.type-{:x}", type), "which no weights may have", {256, 2}, type);
    }
    all.add_tensor("weights.quantised-norm", "must not be quantised", 1, [](Tensor& tensor) {
        tensor.dimensions = {32};
        tensor.type = 2;
    });
    all.add_tensor("weights.half-rope", "must be F32", last, [](Tensor& tensor) {
        tensor.name = "rope_freqs.weight";
        tensor.type = 1;
    });
    all.add("place.not-aligned", "must begin at", [](auto& file) { file.tensors.back().offset += 1; });
    all.add("place.gap", "must begin at", [](auto& file) { file.tensors.back().offset += 32; });
    all.add("place.overlap", "must begin at", [](auto& file) { file.tensors.back().offset -= 32; });
    all.add("place.behind-the-end", "must begin at", [](auto& file) { file.tensors.back().offset = UINT64_MAX - 31; });
    all.add("place.no-data", "the tensors end", [](auto& file) { file.data_bytes = 0; });
    all.add("name.empty", "is empty", [](auto& file) { file.tensors.back().name = ""; });
    all.add("name.long", "at most",
            [](auto& file) { file.tensors.back().name = std::string(max_tensor_name + 1, 'n'); });
    all.add("name.zero-byte", "printable", [](auto& file) { file.tensors.back().name = std::string("a\0b", 3); });
    all.add("name.twice", "is there twice", [](auto& file) { file.tensors.back().name = file.tensors.front().name; });
}

}  // namespace

std::vector<RefusedFile> refused_files()
{
    auto all = Collection{};
    for (auto const part : {headers, keys_and_values, alignments, identities, layers, vocabularies, tensors}) {
        part(all);
    }
    return std::move(all.files);
}

}  // namespace plexus::models
