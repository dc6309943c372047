#include "draft_model.h"

#include <cstring>

#include "common.h"
#include "llama-cpp.h"

namespace plexus::engine {

namespace {

constexpr auto drafted_tokens = 3;  // at most, in one step
constexpr auto sure_enough = 0.6F;  // probability of a token, for the draft to go on behind it

// As in llama.cpp, common/speculative.cpp.
constexpr auto first_compared = 5;  // the special tokens before may have other texts
constexpr auto most_tokens_apart = 128;

constexpr std::size_t shown_bytes = 32;

llama_model_ptr vocabulary_of(std::string const& path)
{
    auto params = llama_model_default_params();
    params.vocab_only = true;
    return llama_model_ptr(llama_model_load_from_file(path.c_str(), params));
}

std::unexpected<Error> differs(std::string_view how)
{
    return fail(ErrorKind::malformed, "the draft model has another vocabulary: {}", how);
}

Result<void> compare_surroundings(llama_vocab const* model, llama_vocab const* draft)
{
    if (llama_vocab_type(model) != llama_vocab_type(draft)) {
        return differs("its tokenizer is of another type");
    }
    auto const adds_begin = llama_vocab_get_add_bos(model);
    auto const adds_end = llama_vocab_get_add_eos(model);
    if (adds_begin != llama_vocab_get_add_bos(draft) ||
        (adds_begin && llama_vocab_bos(model) != llama_vocab_bos(draft))) {
        return differs("a text begins with another token");
    }
    if (adds_end != llama_vocab_get_add_eos(draft) || (adds_end && llama_vocab_eos(model) != llama_vocab_eos(draft))) {
        return differs("a text ends with another token");
    }
    return {};
}

Result<void> compare_tokens(llama_vocab const* model, llama_vocab const* draft)
{
    auto const count = llama_vocab_n_tokens(model);
    auto const of_draft = llama_vocab_n_tokens(draft);
    if (std::abs(count - of_draft) > most_tokens_apart) {
        return differs(fmt::format("it has {} tokens, the model {}", of_draft, count));
    }
    for (auto token = first_compared; token < std::min(count, of_draft); ++token) {
        auto const* const ours = llama_vocab_get_text(model, token);
        auto const* const theirs = llama_vocab_get_text(draft, token);
        if (std::strcmp(ours, theirs) != 0) {
            return differs(fmt::format("token {} is \"{}\" in it, \"{}\" in the model", token,
                                       std::string_view(theirs).substr(0, shown_bytes),
                                       std::string_view(ours).substr(0, shown_bytes)));
        }
    }
    return {};
}

}  // namespace

void use_draft(common_params_speculative& speculative, std::string const& path)
{
    speculative.types.push_back(COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE);
    speculative.draft.mparams.path = path;
    speculative.draft.n_max = drafted_tokens;
    speculative.draft.p_min = sure_enough;
}

Result<void> check_same_vocabulary(std::string const& model, std::string const& draft)
{
    auto const ours = vocabulary_of(model);
    auto const theirs = vocabulary_of(draft);
    if (!ours || !theirs) {
        return fail(ErrorKind::unavailable, "llama.cpp could not read the vocabulary of the {}",
                    ours ? "draft model" : "model");
    }
    auto const* const own = llama_model_get_vocab(ours.get());
    auto const* const other = llama_model_get_vocab(theirs.get());
    auto const same = compare_surroundings(own, other);
    return same ? compare_tokens(own, other) : same;
}

bool can_take_drafts(llama_context* context)
{
    return common_context_can_seq_rm(context) != COMMON_CONTEXT_SEQ_RM_TYPE_NO;
}

}  // namespace plexus::engine
