#pragma once

#include "base/real_env.h"
#include "inference/inference.h"
#include "sandbox/launcher.h"

namespace plexus {

/// One model file.
struct OneFile final : inference::ModelSource {
    OneFile(Env& env_used, std::filesystem::path path_used, inference::ModelTraits traits_used)
        : env(env_used), path(std::move(path_used)), its_traits(traits_used)
    {
    }
    Task<Result<std::shared_ptr<File const>>> open(inference::ModelDigest) override
    {
        auto file = env.disk().open(path);
        if (!file) {
            co_return std::unexpected(file.error());
        }
        co_return std::shared_ptr<File const>(std::move(*file));
    }
    inference::ModelTraits traits(inference::ModelDigest const&) const override { return its_traits; }

    Env& env;
    std::filesystem::path path;
    inference::ModelTraits its_traits;
};

struct EngineSetup {
    std::filesystem::path model = PLEXUS_DEFAULT_MODEL;
    inference::ModelTraits traits{};
    std::uint64_t memory_limit_bytes = 4ULL << 30;
    std::uint32_t context = 2048;
    bool speculates = false;
};

/// A device with real engines for one model.
struct EngineDevice {
    RealEnv env;
    sandbox::Launcher launcher{env.context()};
    OneFile source;
    std::unique_ptr<inference::Inference> inference;

    explicit EngineDevice(EngineSetup setup) : source(env, std::move(setup.model), setup.traits)
    {
        env.use_processes(launcher);
        auto options = inference::Options{};
        options.program = PLEXUS_ENGINE_PROGRAM;
        options.slots = 2;
        options.context = setup.context;
        options.threads = 1;  // on a busy host threads that wait for each other take far longer
        options.speculates = setup.speculates;
        options.memory_limit_bytes = setup.memory_limit_bytes;
        inference = make_inference(env, source, std::move(options));
    }

    /// Runs the task on the loop, ends all engines, and lets its exception out.
    void run(Task<> task)
    {
        auto whole = [](EngineDevice& device, Task<> inner) -> Task<> {
            auto failure = std::exception_ptr{};
            try {
                co_await std::move(inner);
            } catch (...) {
                failure = std::current_exception();
            }
            co_await device.inference->stop();
            if (failure) {
                std::rethrow_exception(failure);
            }
        };
        auto failure = std::exception_ptr{};
        asio::co_spawn(env.executor(), whole(*this, std::move(task)), [&](std::exception_ptr exception) {
            failure = exception;
            env.stop();
        });
        env.run();
        if (failure) {
            std::rethrow_exception(failure);
        }
    }

    /// The parts of an answer.
    static Task<Result<std::vector<std::string>>> parts_of(inference::Generation& answer)
    {
        auto parts = std::vector<std::string>{};
        for (;;) {
            auto part = co_await answer.next();
            if (!part) {
                co_return std::unexpected(part.error());
            }
            if (!*part) {
                co_return parts;
            }
            parts.push_back(std::move((*part)->text));
        }
    }

    Task<Result<std::vector<std::string>>> ask_in_parts(inference::TaskKind kind, std::string body)
    {
        auto const answer = co_await inference->start({}, kind, std::move(body), {});
        if (!answer) {
            co_return std::unexpected(answer.error());
        }
        co_return co_await parts_of(**answer);
    }

    /// All parts one behind the other: the document of kinds that are not streamed.
    Task<Result<std::string>> ask(inference::TaskKind kind, std::string body)
    {
        auto parts = co_await ask_in_parts(kind, std::move(body));
        co_return transform(parts, [](std::vector<std::string> const& given) {
            auto text = std::string{};
            for (auto const& part : given) {
                text += part;
            }
            return text;
        });
    }
};

}  // namespace plexus
