#include "simulation/run.h"

#include "base/log.h"
#include "simulation/checks.h"
#include "simulation/faults.h"

namespace plexus::simulation {

using namespace std::chrono_literals;

namespace {

constexpr auto step = 500ms;
constexpr auto convergence_bound = 120s;
constexpr auto recovery_bound = 100s;
constexpr auto last_answer_bound = 60s;
constexpr auto most_joins = 6;

class Run {
public:
    explicit Run(RunOptions const& options) : options_(options), mesh_(options.seed), background_(mesh_.world.executor())
    {
        if (options.line) {
            log::set_sink([this](log::Level, std::string_view line) { options_.line(mesh_.findings.elapsed(), line); });
        }
    }
    ~Run() { log::set_sink({}); }

    RunResult all();

private:
    void make_devices();
    Task<> pair_some();
    Task<> take_over();
    void trouble();
    void heal();
    Task<> join_the_rest();
    void converge();
    Task<> ask_last_questions();
    Task<> stop_all();
    void run(std::string_view what, Task<> task, Duration limit);
    RunResult result() const;

    RunOptions const& options_;
    Mesh mesh_;
    TaskScope background_;
    Checks checks_{mesh_};
    Faults faults_{mesh_, background_};
};

void Run::make_devices()
{
    mesh_.models = {tiny_model("tiny"), tiny_model("small")};
    for (std::size_t number = 0; number < options_.devices; ++number) {
        auto name = fmt::format("device-{}", number);
        mesh_.devices.push_back(std::make_unique<SimulatedDevice>(mesh_.world, std::move(name), mesh_.findings));
        mesh_.devices.back()->open();
    }
    mesh_.turncoat = std::make_unique<SimulatedDevice>(mesh_.world, "turncoat", mesh_.findings);
    mesh_.turncoat->open();
    mesh_.stranger = std::make_unique<Stranger>(mesh_.world, "stranger", mesh_.findings);
    mesh_.id = mesh_.devices.front()->device().membership().mesh_id();
}

/// All but the last join in peace; each model is on some devices.
Task<> Run::pair_some()
{
    auto& founder = mesh_.devices.front()->device().membership();
    auto joining = std::vector<SimulatedDevice*>{mesh_.turncoat.get()};
    for (std::size_t number = 1; number + 1 < mesh_.devices.size(); ++number) {
        joining.push_back(mesh_.devices[number].get());
    }
    auto const two_owners = mesh_.below("roles", 2) == 0;
    for (auto* device : joining) {
        auto const is_owner = two_owners && device == mesh_.devices[1].get();
        auto const invite = founder.invite(is_owner ? membership::Role::owner : membership::Role::member, 5min).value();
        mesh_.stranger->see_link(invite.link);
        auto const joined = co_await device->join(invite.link);
        mesh_.findings.check(joined, "an invited device joins", [&] { return device->name(); });
    }
    for (std::size_t number = 0; number < mesh_.models.size(); ++number) {
        auto const& model = mesh_.models[number];
        for (auto const& device : mesh_.devices) {
            if (device == mesh_.devices[number + 1] || mesh_.below("models", 3) == 0) {
                auto const imported = co_await device->import(model);
                mesh_.findings.check(imported, "a model is imported", [&] { return device->name(); });
            }
        }
    }
}

Task<> Run::take_over()
{
    auto key = crypto::KeyPair(mesh_.turncoat->device().membership().identity().seed());
    co_await mesh_.turncoat->stop();
    mesh_.traitor = std::make_unique<Traitor>(mesh_.turncoat->env(), std::move(key), mesh_.models, mesh_.stranger->id(),
                                              mesh_.findings);
}

void Run::run(std::string_view what, Task<> task, Duration limit)
{
    auto const done = mesh_.world.run(std::move(task), limit);
    mesh_.findings.check(done, "every step of a run ends", [&] { return std::string(what); });
}

void Run::trouble()
{
    auto const end = mesh_.world.now() + options_.trouble;
    auto next_look = mesh_.world.now();
    auto next_fault = mesh_.world.now();
    auto next_attack = mesh_.world.now();
    auto next_task = mesh_.world.now();
    while (mesh_.world.now() < end) {
        auto const now = std::min({next_look, next_fault, next_attack, next_task, end});
        mesh_.world.run_until(now);
        if (now == next_look) {
            checks_.look();
            next_look = now + step;
        }
        if (now == next_fault) {
            faults_.next();
            next_fault = now + mesh_.between("pace", 100ms, 2s);
        }
        if (now == next_attack) {
            faults_.attack();
            next_attack = now + mesh_.between("pace", 200ms, 2s);
        }
        if (now == next_task) {
            faults_.ask();
            next_task = now + mesh_.between("pace", 10ms, 800ms);
        }
    }
}

void Run::heal()
{
    faults_.heal();
    auto const end = mesh_.world.now() + recovery_bound;
    while (background_.running() > 0 && mesh_.world.now() < end) {
        mesh_.world.run_for(step);
        checks_.look();
    }
    faults_.heal();
    mesh_.findings.check(background_.running() == 0, "every step of a run ends", [] { return "troubles"; });
    if (mesh_.traitor) {
        run("the traitor stops", mesh_.traitor->stop(), 30s);
    }
}

Task<> Run::join_the_rest()
{
    auto& founder = *mesh_.devices.front();
    for (auto const& device : mesh_.devices) {
        for (auto tries = 0; tries < most_joins && !mesh_.is_member(*device) && !mesh_.revoked.contains(device->id()); ++tries) {
            auto const invite = founder.device().membership().invite(membership::Role::member, 5min);
            auto const joined = invite && co_await device->join(invite->link);
            if (!joined) {
                // One from before the healing may be under way.
                co_await sleep_for(founder.env(), 5s);
            }
        }
        mesh_.findings.check(mesh_.is_member(*device) || mesh_.revoked.contains(device->id()),
                             "after healing every device can join", [&] { return device->name(); });
    }
}

void Run::converge()
{
    auto const end = mesh_.world.now() + convergence_bound;
    auto why = checks_.disagreement();
    while (!why.empty() && mesh_.world.now() < end) {
        mesh_.world.run_for(step);
        checks_.look();
        why = checks_.disagreement();
    }
    mesh_.findings.check(why.empty(), "the mesh comes together after healing", [&] { return why; });
}

Task<> Run::ask_last_questions()
{
    auto holders = std::set<std::string>{};
    for (auto const& device : mesh_.devices) {
        if (mesh_.is_member(*device)) {
            holders.insert(device->models().begin(), device->models().end());
        }
    }
    for (auto const& device : mesh_.devices) {
        for (auto const& model : mesh_.models) {
            if (!mesh_.is_member(*device) || !holders.contains(model.name)) {
                continue;
            }
            auto const end = mesh_.world.now() + last_answer_bound;
            auto done = co_await device->ask_and_wait(model, "the last question", 20s);
            while (!done && mesh_.world.now() < end) {
                co_await sleep_for(device->env(), 2s);
                done = co_await device->ask_and_wait(model, "the last question", 20s);
            }
            mesh_.findings.check(done, "a healed mesh answers", [&] { return device->name() + " asks " + model.name; });
        }
    }
}

Task<> Run::stop_all()
{
    for (auto const& device : mesh_.devices) {
        if (device->is_up()) {
            background_.spawn("stop " + device->name(), device->stop());
        }
    }
    while (background_.running() > 0) {
        co_await sleep_for(mesh_.devices.front()->env(), 100ms);
    }
    co_await mesh_.stranger->stop();
    co_await background_.join();
}

RunResult Run::all()
{
    make_devices();
    run("pairing", pair_some(), 5min);
    mesh_.world.run_for(5s);
    run("the take-over", take_over(), 30s);
    trouble();
    heal();
    run("joining", join_the_rest(), 5min);
    converge();
    run("the last questions", ask_last_questions(), 20min);
    checks_.look();
    run("stopping", stop_all(), 1min);
    mesh_.world.run_for(10s);
    return result();
}

RunResult Run::result() const
{
    auto made = RunResult{};
    made.findings = mesh_.findings.list();
    made.checks = mesh_.findings.checks();
    made.simulated = mesh_.findings.elapsed();
    made.trace_hash = mesh_.world.trace_hash();
    made.events = mesh_.world.events();
    made.faults = mesh_.faults;
    made.attacks = mesh_.attacks;
    for (auto const& device : mesh_.devices) {
        made.asked += device->asked();
        made.answered += device->answered();
        made.failed += device->failed();
    }
    return made;
}

}  // namespace

RunResult run_seed(RunOptions const& options)
{
    return Run(options).all();
}

}  // namespace plexus::simulation
