#include <ggml.h>
#include <gguf.h>
#include <llama.h>

#include <sys/mman.h>
#include <unistd.h>

#include "gguf_mutator.h"
#include "models/gguf.h"
#include "models/gguf_testing.h"

using namespace plexus;
using namespace plexus::models;

// Whatever our checker accepts, ggml and llama.cpp, both built with sanitizers, take or refuse without a report, an
// assertion or an abort: the metadata, the vocabulary, the whole model, and its first step.

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t limit);

namespace {

bool const is_loud = std::getenv("PLEXUS_FUZZ_LOG") != nullptr;
bool const is_stepping = std::getenv("PLEXUS_FUZZ_STEPS") != nullptr;

class SealedFile {
public:
    explicit SealedFile(ByteView bytes) : descriptor_(::memfd_create("gguf", MFD_CLOEXEC))
    {
        PLEXUS_ASSERT(descriptor_ >= 0);
        PLEXUS_ASSERT(::write(descriptor_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    }
    SealedFile(SealedFile const&) = delete;
    ~SealedFile() { ::close(descriptor_); }
    std::string path() const { return fmt::format("/proc/self/fd/{}", descriptor_); }  // as plexus-engine opens it

private:
    int descriptor_;
};

void load_metadata(ByteView bytes)
{
    ggml_context* tensors = nullptr;
    auto* metadata = gguf_init_from_buffer(bytes.data(), bytes.size(), {.no_alloc = true, .ctx = &tensors});
    PLEXUS_ASSERT(metadata != nullptr);  // ggml itself must not refuse what we accept
    gguf_free(metadata);
    ggml_free(tensors);
}

/// A text in tokens and back. What llama.cpp throws is a clean failure.
void use_vocabulary(llama_model const* model)
{
    auto const* vocabulary = llama_model_get_vocab(model);
    auto tokens = std::array<llama_token, 256>{};
    auto piece = std::array<char, 1024>{};
    for (auto const text : {std::string_view("ab a\nb <s> \xc3\xa9 [MASK]"), std::string_view("\0\xff", 2)}) {
        try {
            auto const count = llama_tokenize(vocabulary, text.data(), static_cast<std::int32_t>(text.size()),
                                              tokens.data(), tokens.size(), true, true);
            for (std::int32_t index = 0; index < count; ++index) {
                llama_token_to_piece(vocabulary, tokens[index], piece.data(), piece.size(), 0, true);
            }
        } catch (std::exception const&) {
        }
    }
}

void take_a_step(llama_model* model)
{
    auto parameters = llama_context_default_params();
    parameters.n_ctx = 64;
    parameters.n_batch = parameters.n_ubatch = 8;
    parameters.n_threads = parameters.n_threads_batch = 1;
    auto* context = llama_init_from_model(model, parameters);
    if (context == nullptr) {
        return;
    }
    auto token = llama_token{0};
    if (llama_vocab_n_tokens(llama_model_get_vocab(model)) > 0) {
        std::ignore = llama_decode(context, llama_batch_get_one(&token, 1));
    }
    llama_free(context);
}

void load_model(std::string const& path, bool vocabulary_only)
{
    auto parameters = llama_model_default_params();
    parameters.vocab_only = vocabulary_only;
    auto* model = llama_model_load_from_file(path.c_str(), parameters);
    if (model == nullptr) {
        return;
    }
    use_vocabulary(model);
    if (!vocabulary_only && is_stepping) {
        take_a_step(model);
    }
    llama_model_free(model);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments)
{
    std::ignore = count;
    std::ignore = arguments;
    if (!is_loud) {
        llama_log_set([](ggml_log_level, char const*, void*) {}, nullptr);
    }
    ::setenv("GGML_NO_BACKTRACE", "1", 1);
    llama_backend_init();
    return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t limit, unsigned seed)
{
    auto random = std::minstd_rand(seed);
    if (random() % 16 == 0) {
        return LLVMFuzzerMutate(data, size, limit);
    }
    auto parts = fuzz::GgufParts::read(std::as_bytes(std::span(data, size)));
    for (auto changes = 1 + random() % 3; changes > 0; --changes) {
        parts.change(random);
    }
    auto const written = parts.write(limit);
    if (!written) {
        return LLVMFuzzerMutate(data, size, limit);
    }
    std::memcpy(data, written->data(), written->size());
    return written->size();
}

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const bytes = std::as_bytes(std::span(data, size));
    auto const summary = check_gguf(MemoryFile(to_bytes(bytes)));
    if (!summary) {
        if (is_loud) {
            std::fprintf(stderr, "refused: %s\n", summary.error().text.c_str());
        }
        return -1;  // the target gguf looks after these
    }
    load_metadata(bytes);
    auto const file = SealedFile(bytes);
    load_model(file.path(), true);
    if (summary->tensors > 0) {  // the store takes no other
        load_model(file.path(), false);
    }
    return 0;
}
