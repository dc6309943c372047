#pragma once

#include "api/json_fields.h"

namespace plexus::api {

inline constexpr std::size_t max_ranked_documents = 1000;

/// A rerank request, as Jina and Cohere write it, that has been checked at the edge.
struct RerankRequest {
    std::string model;
    std::vector<std::string> documents{};
    std::size_t wanted = 0;  ///< `top_n`, at most as many as there are documents
    bool with_documents = false;
    std::string task_body{};
};

/// Checks the fields that we know; unknown ones are dropped.
std::expected<RerankRequest, Problem> parse_rerank_request(std::string_view body);

/// The answer to the client, best document first, from the engine's document.
/// Errors: `malformed` if that is no ranking of these documents.
Result<std::string> rerank_answer(RerankRequest const& request, std::string const& id, std::string_view document);

}  // namespace plexus::api
