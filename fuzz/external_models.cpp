#include "inference/external.h"

using namespace plexus;
using namespace plexus::inference;

/// What an engine that the owner runs may answer: a list of models, or an error.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const text = as_text(std::as_bytes(std::span(data, size)));
    if (auto const models = parse_model_list(text, "device", "http://localhost")) {
        PLEXUS_ASSERT(models->size() <= max_external_models);
        for (auto const& model : *models) {
            PLEXUS_ASSERT(!model.name.empty() && model.name.size() <= 128);
        }
    }
    for (auto const status : {302, 400, 404, 500}) {
        PLEXUS_ASSERT(!external_error(status, text).text.empty());
    }
    return 0;
}
