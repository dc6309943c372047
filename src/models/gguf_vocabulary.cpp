#include "models/gguf.h"
#include "models/gguf_rules.h"

namespace plexus::models {

namespace {

/// A tokenizer of llama.cpp, with the tokens that it puts around a prompt unless the file names others.
struct Tokenizer {
    std::string_view name;
    std::int64_t begin = -1;   // -1: none
    std::int64_t end = -1;
    std::int64_t separator = -1;
    bool adds_begin = false;   // unless the file says otherwise
    bool adds_end = false;
    bool adds_separator = false;
    bool needs_merges = false;
};

constexpr auto tokenizers = std::array{
    Tokenizer{.name = "llama", .begin = 1, .end = 2, .adds_begin = true},
    Tokenizer{.name = "bert", .begin = 101, .separator = 102, .adds_begin = true, .adds_separator = true},
    Tokenizer{.name = "gpt2", .begin = 11, .end = 11, .needs_merges = true},
    Tokenizer{.name = "t5", .end = 1, .adds_end = true},
    Tokenizer{.name = "gemma4", .adds_begin = true, .needs_merges = true},
};

class Vocabulary {
public:
    Vocabulary(GgufMetadata const& metadata, Tokenizer const& tokenizer) : metadata_(metadata), tokenizer_(tokenizer) {}

    Result<void> check() const;

private:
    std::int64_t tokens() const { return static_cast<std::int64_t>(metadata_.tokens->count); }
    Result<void> list(std::string_view key, std::initializer_list<GgufType> types, std::uint64_t count) const;
    Result<void> special(std::string_view name, std::string_view flag, bool is_added, std::int64_t usual) const;

    GgufMetadata const& metadata_;
    Tokenizer const& tokenizer_;
};

/// A list that may be missing, of one of the types and, unless `count` is 0, with so many elements.
Result<void> Vocabulary::list(std::string_view key, std::initializer_list<GgufType> types, std::uint64_t count) const
{
    auto const* value = metadata_.find(key);
    if (value == nullptr) {
        return {};
    }
    if (!value->is_array || std::ranges::count(types, value->type) == 0) {
        return fail(ErrorKind::malformed, "metadata {} is no list of the right type", key);
    }
    if (count != 0 && value->count != count) {
        return fail(ErrorKind::malformed, "metadata {} has {} elements for {} tokens", key, value->count, count);
    }
    return {};
}

Result<void> Vocabulary::special(std::string_view name, std::string_view flag, bool is_added, std::int64_t usual) const
{
    auto const key = fmt::format("tokenizer.ggml.{}_token_id", name);
    auto const named = metadata_.integer(key);
    auto const id = named.value_or(usual);
    auto const is_there = id >= 0 && id < tokens();
    auto const adds = metadata_.integer(fmt::format("tokenizer.ggml.{}", flag));
    if (named && !is_there) {
        return fail(ErrorKind::malformed, "{} is {}, the vocabulary has {} tokens", key, id, tokens());
    }
    if (!is_there && (adds ? *adds != 0 : is_added)) {
        return fail(ErrorKind::malformed, "the vocabulary adds a token to every prompt that it does not have: {}", key);
    }
    return {};
}

Result<void> Vocabulary::check() const
{
    if (!metadata_.tokens->are_distinct) {
        return fail(ErrorKind::malformed, "the vocabulary has the same token twice");
    }
    auto const count = metadata_.tokens->count;
    auto done = list("tokenizer.ggml.scores", {GgufType::f32, GgufType::i32}, count);
    auto const then = [&](auto next) { done = done ? next() : done; };
    then([&] { return list("tokenizer.ggml.token_type", {GgufType::i32}, count); });
    then([&] { return list("tokenizer.ggml.merges", {GgufType::text}, 0); });
    then([&] { return list("tokenizer.ggml.suppress_tokens", {GgufType::i32}, 0); });
    then([&] { return list("tokenizer.ggml.precompiled_charsmap", {GgufType::u8, GgufType::i8}, 0); });
    then([&] { return special("bos", "add_bos_token", tokenizer_.adds_begin, tokenizer_.begin); });
    then([&] { return special("eos", "add_eos_token", tokenizer_.adds_end, tokenizer_.end); });
    then([&] { return special("seperator", "add_sep_token", tokenizer_.adds_separator, tokenizer_.separator); });
    if (done && tokenizer_.needs_merges && metadata_.find("tokenizer.ggml.merges") == nullptr) {
        return fail(ErrorKind::malformed, "the vocabulary is one of merges and has none");
    }
    return done;
}

}  // namespace

Result<void> check_vocabulary(GgufMetadata const& metadata)
{
    auto const* list = metadata.find("tokenizer.ggml.tokens");
    auto const name = metadata.text("tokenizer.ggml.model");
    if (list == nullptr && name.empty()) {
        return {};
    }
    if (!metadata.tokens) {
        return fail(ErrorKind::malformed, "the vocabulary has no list of tokens");
    }
    auto const tokenizer = std::ranges::find(tokenizers, name, &Tokenizer::name);
    if (tokenizer == tokenizers.end()) {
        return fail(ErrorKind::malformed, "the tokenizer \"{}\" is none that this version can run", name.substr(0, 64));
    }
    return Vocabulary(metadata, *tokenizer).check();
}

}  // namespace plexus::models
