#pragma once

#include "base/log.h"
#include "base/paths.h"

namespace plexus::node {

inline constexpr std::uint16_t default_api_port = 7597;
inline constexpr std::uint16_t default_mesh_port = 7598;
inline constexpr std::uint16_t default_ollama_port = 11434;

/// What the owner may set. Each key can also be given as PLEXUS_<SECTION>_<KEY> in the environment, which wins.
struct Config {
    /// A port that is wanted never, if it is free, or else the start fails.
    enum class Door { off, automatic, on };

    struct Api {
        std::uint16_t port = default_api_port;  ///< 0 picks a free one
        std::vector<std::string> origins;       ///< web pages that may use the API beside our own
        Door ollama = Door::off;                ///< a second port, where programs look for Ollama
        std::uint16_t ollama_port = default_ollama_port;
        bool ollama_token = true;  ///< false: programs that know no token may ask and read there
    } api;

    struct Mesh {
        std::string name;                 ///< of this device; default is the host's
        std::string address = "0.0.0.0";  ///< to listen on
        std::uint16_t port = default_mesh_port;
        bool port_is_set = false;  ///< a port that was asked for is not replaced by a free one
        bool discovery = true;     ///< finds devices on the local network, and lets them find this one
    } mesh;

    struct Engine {
        std::string program;  ///< default is plexus-engine beside plexusd
        std::uint32_t context = 0;  ///< tokens a slot; 0: by model and memory
        std::uint32_t slots = 0;    ///< 0: likewise
        std::uint32_t threads = 0;  ///< 0: as many as there are cores
        std::uint32_t idle_minutes = 30;
        std::string gpu = "auto";  ///< device beside the processor: auto, none, or (a part of) its name
        std::optional<std::uint32_t> gpu_layers{};  ///< of each model; nothing: all that fit
        bool allow_weak_sandbox = false;  ///< engines may run without the walls that this system refuses
        bool prompt_cache = true;     ///< what is read of a prompt is kept for one that begins alike
        bool speculation = false;     ///< guesses tokens from the text before, and checks several in one step
        std::uint64_t memory_mb = 0;  ///< of 10^6 bytes, for all engines together; 0: what is free less a reserve
    } engine;

    struct Models {
        std::uint64_t quota_gb = 0;  ///< 10^9 bytes that all models may take; 0: no limit but the disk
        std::string hub = "https://huggingface.co";  ///< where hf: leads
        std::string ca_file;  ///< authorities beside those of the system, for fetching models
    } models;

    log::Level log_level = log::Level::info;
};

/// Reads the text of config.toml, then the environment. `file` is named in errors.
/// Errors: `malformed`, with the line, and with a suggestion for an unknown key.
Result<Config> read_config(std::string_view text, std::string const& file, Environment const& environment);

/// Sets one key ("api.port") from its text. Errors: `malformed`, `not_found` for an unknown key.
Result<void> set_key(Config& config, std::string const& key, std::string const& value);

}  // namespace plexus::node
