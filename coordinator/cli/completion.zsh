#compdef lockstep
# completion.zsh - completes lockstep in zsh: source <(lockstep completion zsh)

_lockstep() {
    local -a answer names texts open_names open_texts
    local line name what how before
    answer=("${(@f)$(${(Q)words[1]/#\~/$HOME} __complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    how=${answer[1]%% *}
    before=${answer[1]#* }
    for line in "${(@)answer[2,-1]}"; do
        name=${line%%$'\t'*}
        what=${line#*$'\t'}
        [[ -n $name ]] || continue
        if [[ $name == *= ]]; then # to be gone on with: no blank behind it
            open_names+=("$name")
            open_texts+=("$name${what:+  -- $what}")
        else
            names+=("$name")
            texts+=("$name${what:+  -- $what}")
        fi
    done
    (($#names)) && compadd -l -d texts -a names
    (($#open_names)) && compadd -S '' -l -d open_texts -a open_names
    if [[ $how == files || $how == dirs ]]; then
        [[ -n $before ]] && compset -p ${#before}
        if [[ $how == dirs ]]; then _files -/; else _files; fi
    fi
}

# Read by compinit it is the function's body, sourced it is its definition.
if [[ ${funcstack[1]} == _lockstep ]]; then
    _lockstep "$@"
else
    compdef _lockstep lockstep
fi
