#pragma once

#include "base/paths.h"
#include "base/real_env.h"
#include "client.h"
#include "terminal.h"

namespace plexus::cli {

/// What every command works with.
struct Context {
    RealEnv& env;
    Paths paths;
    Options options;
    Terminal& terminal;
    Client& client;
    std::function<void()> on_interrupt;  ///< set by a command that handles Ctrl-C itself

    /// One document {"schema":"plexus.NAME/1","data":…}.
    void print_document(std::string_view name, boost::json::value data);
};

/// Runs `task` so that Ctrl-C ends it and not the program; nothing if that happened.
Task<std::optional<Outcome<>>> interruptible(Context& context, Task<Outcome<>> task);

/// To be awaited after input was read: a Ctrl-C typed meanwhile takes effect here.
Task<> let_interrupt_in(Context& context);

/// Asks the person; anything but yes is no. Standard input must be a terminal.
Task<bool> confirmed(Context& context, std::string const& question);

/// Something that is not done without a yes.
struct Consent {
    bool is_given = false;  ///< by --yes
    std::string what;       ///< "Removing a model"
    std::string command;    ///< that does it, without --yes
    std::string question;
    std::string refused;    ///< what is said after a no
};

/// Asks unless it is given. Errors: `usage` where nobody can be asked, `cancelled`.
Task<Outcome<>> require(Context& context, Consent consent);

}  // namespace plexus::cli
