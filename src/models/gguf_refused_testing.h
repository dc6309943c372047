#pragma once

#include "models/gguf_testing.h"

namespace plexus::models {

/// A file that is right but for one thing.
struct RefusedFile {
    std::string name;    ///< "<class>.<what is wrong>.gguf", as in fuzz/corpus/gguf_refused
    Bytes bytes;
    std::string reason;  ///< a part of the sentence with which it is refused
};

/// At least one of every class of damage that has hurt a reader of GGUF files, or over which llama.cpp ends its process.
/// The table of classes is in docs/gguf.md.
std::vector<RefusedFile> refused_files();

}  // namespace plexus::models
