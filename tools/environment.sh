# Sourced by the other tools: one cache outside the tree, and a compiler cache that hits from any clone.
PLEXUS_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PLEXUS_CACHE=${PLEXUS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/plexus}
export PLEXUS_ROOT PLEXUS_CACHE
export CCACHE_DIR=${CCACHE_DIR:-$PLEXUS_CACHE/ccache}
export CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-5G}
export CCACHE_BASEDIR=$PLEXUS_ROOT CCACHE_NOHASHDIR=1
# Names of the precompiled header (all that follows -Xclang); it is known by the sum that tools/build writes beside it.
export CCACHE_IGNOREOPTIONS="-Xclang $PLEXUS_ROOT/build/*" CCACHE_PCH_EXTSUM=1
export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
# What models may be computed on beside the processor: none, auto, vulkan, cuda, rocm, metal (tools/build-llama).
export PLEXUS_GPU=${PLEXUS_GPU:-none}
