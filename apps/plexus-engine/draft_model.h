#pragma once

#include <string>

#include "base/result.h"

struct llama_context;
struct common_params_speculative;

namespace plexus::engine {

/// A draft model guesses the next tokens one by one; the model checks them in one step. It must have the model's vocabulary.

/// Makes llama.cpp guess with the model file at `path`.
void use_draft(common_params_speculative& speculative, std::string const& path);

/// Reads the vocabularies of both files. llama.cpp compares them by the same rules, but goes on without the draft and without
/// a word where they differ. Errors: `malformed` with the first difference, `unavailable` if a file cannot be read.
Result<void> check_same_vocabulary(std::string const& model, std::string const& draft);

/// Whether llama.cpp can take tokens back from the memory of the context, which must be empty.
bool can_take_drafts(llama_context* context);

}  // namespace plexus::engine
