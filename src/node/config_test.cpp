#include <doctest/doctest.h>

#include <map>

#include "node/config.h"

using namespace plexus;
using namespace plexus::node;

namespace {

Result<Config> read(std::string_view text, std::map<std::string, std::string> variables = {})
{
    auto const environment = [variables](std::string const& name) -> std::optional<std::string> {
        auto const found = variables.find(name);
        return found == variables.end() ? std::nullopt : std::optional(found->second);
    };
    return read_config(text, "config.toml", environment);
}

}  // namespace

TEST_CASE("config: an empty file gives the defaults")
{
    auto const config = read("");

    REQUIRE(config.has_value());
    CHECK(config->api.port == 7597);
    CHECK(config->mesh.port == 7598);
    CHECK(!config->mesh.port_is_set);
    CHECK(config->mesh.address == "0.0.0.0");
}

TEST_CASE("config: the port of Ollama is off unless wanted, and asks for the token unless told")
{
    auto const quiet = read("");
    auto const wanted = read("[api]\nollama = \"auto\"\nollama_port = 12000\nollama_token = false\n");

    CHECK(quiet->api.ollama == Config::Door::off);
    CHECK(quiet->api.ollama_port == 11434);
    CHECK(quiet->api.ollama_token);
    CHECK(wanted->api.ollama == Config::Door::automatic);
    CHECK(wanted->api.ollama_port == 12000);
    CHECK(!wanted->api.ollama_token);
    CHECK(read("[api]\nollama = \"maybe\"\n").error().text.find("must be off, auto or on") != std::string::npos);
    CHECK(read("[api]\nollama_token = \"no\"\n").error().text.find("must be true or false") != std::string::npos);
}

TEST_CASE("config: the file sets keys and the environment wins over it")
{
    auto const text = "[api]\nport = 8000\norigins = [\"https://a.example\", \"https://b.example\"]\n[mesh]\nport = 9000\n"
                      "name = \"attic\"\n[engine]\nslots = 2\n[log]\nlevel = \"debug\"\n";

    auto const config = read(text, {{"PLEXUS_API_PORT", "8001"}, {"PLEXUS_MESH_ADDRESS", "127.0.0.2"}});

    REQUIRE(config.has_value());
    CHECK(config->api.port == 8001);
    CHECK(config->api.origins.size() == 2);
    CHECK(config->mesh.port == 9000);
    CHECK(config->mesh.port_is_set);
    CHECK(config->mesh.address == "127.0.0.2");
    CHECK(config->mesh.name == "attic");
    CHECK(config->engine.slots == 2);
    CHECK(config->log_level == log::Level::debug);
}

TEST_CASE("config: engines use the GPU that is there unless told, with as many layers as fit")
{
    auto const quiet = read("");
    auto const told = read("[engine]\ngpu = \"llvmpipe (LLVM 15.0.6, 256 bits)\"\ngpu_layers = 12\n");
    auto const by_environment = read("[engine]\ngpu_layers = 12\n",
                                     {{"PLEXUS_ENGINE_GPU", "none"}, {"PLEXUS_ENGINE_GPU_LAYERS", "all"}});

    CHECK(quiet->engine.gpu == "auto");
    CHECK(!quiet->engine.gpu_layers);
    CHECK(told->engine.gpu == "llvmpipe (LLVM 15.0.6, 256 bits)");
    CHECK(told->engine.gpu_layers == 12);
    CHECK(by_environment->engine.gpu == "none");
    CHECK(!by_environment->engine.gpu_layers);
    CHECK_FALSE(read("[engine]\ngpu = \"\"\n"));
    CHECK_FALSE(read("[engine]\ngpu_layers = -1\n"));
    CHECK_FALSE(read("[engine]\ngpu_layers = \"most\"\n"));
}

TEST_CASE("config: an unknown key is an error with its line and a suggestion")
{
    auto const config = read("[api]\nprot = 8000\n");

    REQUIRE(!config.has_value());
    CHECK(config.error().kind == ErrorKind::malformed);
    CHECK(config.error().text == "config.toml line 2: there is no setting api.prot; did you mean api.port?");
}

TEST_CASE("config: broken files and values say where and why")
{
    auto const refused = [](std::string_view text, std::string_view part) {
        auto const config = read(text);
        REQUIRE(!config.has_value());
        CHECK_MESSAGE(config.error().text.find(part) != std::string::npos, config.error().text);
    };

    refused("[api\nport = 1\n", "line 1");
    refused("[api]\nport = 70000\n", "api.port must be a whole number");
    refused("[api]\nport = \"x\"\n", "api.port must be a whole number");
    refused("[api]\nport = 1.5\n", "wrong kind");
    refused("[api]\norigins = [\"evil\"]\n", "api.origins must hold origins");
    refused("[mesh]\naddress = \"here\"\n", "mesh.address must be an internet address");
    refused("[mesh]\nname = \"\"\n", "mesh.name");
    refused("[mesh]\nname = \"a\\nb\"\n", "mesh.name");
    refused("[log]\nlevel = \"loud\"\n", "log.level must be");
    refused("[api.port]\nx = 1\n", "wrong kind");
    refused("answer = 42\n", "there is no setting answer");
    refused("[[{ e = 0 }]]\n", "line 1");
    refused("[api]\n[\xEF\xB3\xBF]\n", "line 2");
    CHECK(read("[mesh]\nname = \"B\u00fcro\" # h\u00f6chstens\n")->mesh.name == "B\u00fcro");
    CHECK(!read("", {{"PLEXUS_MESH_NAME", "B\xfcro"}}));
    CHECK(read("", {{"PLEXUS_API_PORT", "many"}}).error().text.starts_with("PLEXUS_API_PORT: "));
}

TEST_CASE("config: context and slots are open unless set, and may be said to be")
{
    CHECK(read("")->engine.context == 0);
    CHECK(read("[engine]\ncontext = 32768\nslots = 1")->engine.context == 32768);
    CHECK(read("[engine]\ncontext = \"auto\"", {{"PLEXUS_ENGINE_SLOTS", "auto"}})->engine.context == 0);
    CHECK(read("[engine]\ncontext = 32768", {{"PLEXUS_ENGINE_CONTEXT", "0"}})->engine.context == 0);
    CHECK(read("[engine]\ncontext = 100").error().text.ends_with("from 256 to 1048576, not '100', or auto"));
    CHECK(!read("[engine]\nslots = 65"));
}

TEST_CASE("config: weak sandboxes are refused until the owner says otherwise, in so many words")
{
    CHECK_FALSE(read("")->engine.allow_weak_sandbox);
    CHECK(read("[engine]\nallow_weak_sandbox = true")->engine.allow_weak_sandbox);
    CHECK(read("", {{"PLEXUS_ENGINE_ALLOW_WEAK_SANDBOX", "true"}})->engine.allow_weak_sandbox);
    CHECK(read("[engine]\nallow_weak_sandbox = 1").error().kind == ErrorKind::malformed);
}
