# completion.fish - completes lockstep in fish: lockstep completion fish | source

function __lockstep_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct | string replace -ra '[\'"\\\\]' '')
    set -l answer ($words[1] __complete $words[2..] "$word" 2>/dev/null)
    set -l how (string split -m 1 ' ' -- $answer[1])
    set -e answer[1]
    test (count $answer) -gt 0; and printf '%s\n' $answer
    set -l name (string sub -s (math (string length -- "$how[2]") + 1) -- "$word")
    switch "$how[1]"
        case files
            printf "$how[2]%s\n" (__fish_complete_path "$name")
        case dirs
            printf "$how[2]%s\n" (__fish_complete_directories "$name")
    end
end

complete -c lockstep -f -k -a '(__lockstep_complete)'
