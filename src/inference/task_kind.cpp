#include "inference/task_kind.h"

#include <array>

namespace plexus::inference {

namespace {

struct Description {
    std::string_view name;
    std::string_view route;
};

constexpr auto descriptions = std::array<Description, 7>{{
    {"chat", "/v1/chat/completions"},
    {"completion", "/v1/completions"},
    {"infill", "/infill"},
    {"embeddings", "/v1/embeddings"},
    {"rerank", "/v1/rerank"},
    {"tokenize", "/count"},
    {"transcription", "/v1/audio/transcriptions"},
}};

Description const& describe(TaskKind kind)
{
    return descriptions.at(static_cast<std::size_t>(kind));
}

}  // namespace

std::string_view to_string(TaskKind kind)
{
    return describe(kind).name;
}

std::optional<TaskKind> task_kind_from(std::uint64_t number)
{
    return number < descriptions.size() ? std::optional(static_cast<TaskKind>(number)) : std::nullopt;
}

std::string_view route_of(TaskKind kind)
{
    return describe(kind).route;
}

}  // namespace plexus::inference
