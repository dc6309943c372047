#pragma once

#include <optional>

#include <boost/json/array.hpp>

#include "context.h"

namespace plexus::cli {

struct AskOptions {
    std::string model;
    std::vector<std::string> words;
    std::string system;
    std::optional<double> temperature;
    std::optional<std::int64_t> seed;
    std::optional<std::int64_t> max_tokens;
};

struct UpOptions {
    std::optional<std::uint16_t> port;
};

struct InviteOptions {
    std::string ttl = "5m";
    std::string role = "member";
    bool qr = false;
    bool no_wait = false;
};

struct ImportOptions {
    std::vector<std::string> what;  ///< a file, or names in the folder of another program
    std::string name;
    std::string from;
    std::string folder;
};

struct PullOptions {
    std::string source;
    std::string name;
    std::string sha256;
};

struct PlanOptions {
    std::string model;
    std::uint32_t context = 0;
    std::uint32_t slots = 0;
};

struct RouteOptions {
    std::string model;
    std::uint32_t prompt_tokens = 0;
    std::uint32_t output_tokens = 0;
};

struct CopyOptions {
    std::string model;
    std::string from;
    std::string name;
};

struct RemoveOptions {
    std::string name;
    bool yes = false;
};

struct ConnectOptions {
    std::string tool;
    std::string model;
    bool print = false;
    bool write = false;
    bool undo = false;
};

struct ExternalEngineOptions {
    std::string url;
    std::string token_file;
};

struct PinOptions {
    std::string name;
    bool off = false;
};

struct DraftOptions {
    std::string model;
    std::string draft;
};

Task<Outcome<>> overview(Context& context);
Task<Outcome<>> show_status(Context& context);
Task<Outcome<>> bring_up(Context& context, UpOptions options);
Task<Outcome<>> bring_down(Context& context);
Task<Outcome<>> serve(Context& context, UpOptions options);
Task<Outcome<>> ask(Context& context, AskOptions options);
Task<Outcome<>> chat(Context& context, AskOptions options);
Task<Outcome<>> invite(Context& context, InviteOptions options);
Task<Outcome<>> join(Context& context, std::string link);
Task<Outcome<>> list_devices(Context& context);
Task<Outcome<>> revoke_device(Context& context, RemoveOptions options);
Task<Outcome<>> pause_device(Context& context, bool paused);
Task<Outcome<>> list_models(Context& context);
Task<Outcome<>> import_model(Context& context, ImportOptions options);
Task<Outcome<>> import_foreign(Context& context, ImportOptions options);
Task<Outcome<>> copy_model(Context& context, CopyOptions options);
Task<Outcome<>> remove_model(Context& context, RemoveOptions options);
Task<Outcome<>> connect_tool(Context& context, ConnectOptions options);
Task<Outcome<>> load_model(Context& context, std::string name);
Task<Outcome<>> unload_model(Context& context, std::string name);
Task<Outcome<>> pin_model(Context& context, PinOptions options);
Task<Outcome<>> set_draft(Context& context, DraftOptions options);
Task<Outcome<>> list_engines(Context& context);
Task<Outcome<>> add_external_engine(Context& context, ExternalEngineOptions options);
Task<Outcome<>> list_external_engines(Context& context);
Task<Outcome<>> test_external_engine(Context& context, std::string url);
Task<Outcome<>> remove_external_engine(Context& context, std::string url);
/// Measures a model; without a name each chat model of this device.
Task<Outcome<>> measure_models(Context& context, std::string name);
Task<Outcome<>> pull_model(Context& context, PullOptions options);
Task<Outcome<>> search_models(Context& context, std::vector<std::string> words);
Task<Outcome<>> show_model(Context& context, std::string name);
Task<Outcome<>> plan_model(Context& context, PlanOptions options);
Task<Outcome<>> explain_route(Context& context, RouteOptions options);
Task<Outcome<>> verify_model(Context& context, std::string name);
Task<Outcome<>> doctor(Context& context);
Task<Outcome<>> show_version(Context& context);

/// Of the models of the API the one to use when none is named: a chat model, in memory before not, here before elsewhere;
/// null if there is none.
boost::json::value const* preferred_model(boost::json::array const& models);

void print_models(Terminal& terminal, boost::json::array const& models);

/// What the log of a daemon that could not start ends with.
std::optional<Failure> last_start_failure(Paths const& paths);

}  // namespace plexus::cli
