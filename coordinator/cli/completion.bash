# completion.bash - completes lockstep in bash: source <(lockstep completion bash)

# What the line holds up to the cursor, as words: COMP_WORDS has them broken at =, : and @ as well.
_lockstep_words() {
    local rest=${COMP_LINE:0:COMP_POINT} i blanks
    words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        blanks=${rest%%[![:blank:]]*}
        rest=${rest#"$blanks"}
        [[ $i -eq 0 || $blanks ]] && words+=("")
        if ((i == COMP_CWORD)); then
            words[-1]+=$rest
        else
            words[-1]+=${COMP_WORDS[i]}
            rest=${rest#"${COMP_WORDS[i]}"}
        fi
    done
    words=("${words[@]//[\"\'\\]/}")
}

_lockstep() {
    local words how before name line whole part
    COMPREPLY=()
    _lockstep_words
    whole=${words[-1]}
    part=${COMP_WORDS[COMP_CWORD]//[\"\'\\]/} # bash puts the answer in place of this alone
    [[ $part == [=:]* ]] && part=""
    [[ $whole == *"@$part" ]] && part=@$part # and of the @ before it
    {
        read -r how before || return
        while IFS= read -r line; do
            name=${line%%$'\t'*}
            COMPREPLY+=("${name#"${whole%"$part"}"}")
        done
    } < <("${words[0]/#\~/$HOME}" __complete "${words[@]:1}" 2>/dev/null)
    case $how in
    files | dirs)
        [[ $before == *@ ]] || compopt -o filenames # with it bash writes \@
        while IFS= read -r name; do
            [[ $before == *@ ]] && printf -v name '%q' "$name"
            name=$before$name
            COMPREPLY+=("${name#"${whole%"$part"}"}")
        done < <(compgen "-${how:0:1}" -- "${whole#"$before"}")
        ;;
    esac
    # What is to be gone on with gets no blank behind it.
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
}
complete -F _lockstep lockstep
