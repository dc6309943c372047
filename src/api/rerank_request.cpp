#include "api/rerank_request.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value_from.hpp>

namespace plexus::api {

namespace json = boost::json;

namespace {

/// "text", or {"text":"text"}; nothing for what is neither.
std::optional<std::string> document_from(json::value const& value)
{
    if (value.is_string()) {
        return std::string(value.get_string());
    }
    auto const* text = value.is_object() ? find(value.get_object(), "text") : nullptr;
    return text != nullptr && text->is_string() ? std::optional(std::string(text->get_string())) : std::nullopt;
}

Check take_documents(json::object const& body, RerankRequest& request)
{
    auto const* list = body.if_contains("documents");
    if (list == nullptr) {
        return invalid_request("documents", "'documents' is missing.", "missing_field");
    }
    if (!list->is_array() || list->get_array().empty() || list->get_array().size() > max_ranked_documents) {
        return wrong_type("documents", fmt::format("an array of 1 to {} documents", max_ranked_documents));
    }
    for (auto const& each : list->get_array()) {
        auto document = document_from(each);
        if (!document) {
            return wrong_type("documents", "an array of strings or of objects with a 'text'");
        }
        request.documents.push_back(std::move(*document));
    }
    return std::nullopt;
}

Check check_fields(json::object const& body)
{
    auto problem = check_model(body);
    problem = problem ? problem : check_number(body, {"top_n", 1, unlimited, true});
    problem = problem ? problem : check_flag(body, "return_documents");
    if (!problem && text_of(body, "query").empty()) {
        return wrong_type("query", "a string that is not empty");
    }
    return problem;
}

struct Rank {
    std::size_t index;
    double score;
};

std::optional<std::vector<Rank>> ranks_from(json::object const& document, std::size_t documents)
{
    auto const* results = find(document, "results");
    if (results == nullptr || !results->is_array()) {
        return std::nullopt;
    }
    auto ranks = std::vector<Rank>{};
    for (auto const& result : results->get_array()) {
        auto const* fields = result.is_object() ? &result.get_object() : nullptr;
        auto const index = fields == nullptr ? std::nullopt : whole_number_of(*fields, "index");
        auto const* score = fields == nullptr ? nullptr : find(*fields, "relevance_score");
        if (!index || *index < 0 || static_cast<std::size_t>(*index) >= documents || score == nullptr ||
            !score->is_number()) {
            return std::nullopt;
        }
        ranks.push_back({static_cast<std::size_t>(*index), score->to_number<double>()});
    }
    std::ranges::sort(ranks, [](Rank const& left, Rank const& right) {
        return left.score == right.score ? left.index < right.index : left.score > right.score;
    });
    return ranks;
}

}  // namespace

std::expected<RerankRequest, Problem> parse_rerank_request(std::string_view text)
{
    auto body = parse_fields(text);
    if (!body) {
        return std::unexpected(std::move(body.error()));
    }
    auto request = RerankRequest{};
    auto problem = check_fields(*body);
    problem = problem ? problem : take_documents(*body, request);
    if (problem) {
        return std::unexpected(std::move(*problem));
    }
    auto const count = static_cast<std::int64_t>(request.documents.size());
    auto const wanted = std::min(count, whole_number_of(*body, "top_n").value_or(count));
    request.model = body->at("model").get_string();
    request.wanted = static_cast<std::size_t>(wanted);
    request.with_documents = flag_of(*body, "return_documents");
    request.task_body = json::serialize(json::object{{"model", request.model},
                                                     {"query", body->at("query")},
                                                     {"documents", json::value_from(request.documents)},
                                                     {"top_n", wanted}});
    return request;
}

Result<std::string> rerank_answer(RerankRequest const& request, std::string const& id, std::string_view text)
{
    auto code = boost::system::error_code{};
    auto const document = json::parse(text, code);
    auto const ranks = !code && document.is_object() ? ranks_from(document.get_object(), request.documents.size())
                                                     : std::nullopt;
    if (!ranks) {
        return fail(ErrorKind::malformed, "the engine sent no ranking");
    }
    auto results = json::array{};
    for (auto const& rank : std::span(*ranks).first(std::min(ranks->size(), request.wanted))) {
        auto result = json::object{{"index", rank.index}, {"relevance_score", rank.score}};
        if (request.with_documents) {
            result["document"] = json::object{{"text", request.documents[rank.index]}};
        }
        results.emplace_back(std::move(result));
    }
    auto answer = json::object{
        {"id", id}, {"object", "list"}, {"model", request.model}, {"results", std::move(results)}};
    if (auto const* usage = find(document.get_object(), "usage")) {
        answer["usage"] = *usage;
    }
    return json::serialize(answer);
}

}  // namespace plexus::api
