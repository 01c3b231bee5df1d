#!/bin/sh
# Compares what tally prints with what it should; ends with 1 when something differs.

tally=$1
failed=0

expect() { # WHAT WANTED GOT
    if [ "$2" = "$3" ]; then
        echo "ok      $1"
    else
        echo "FAILED  $1"
        echo "wanted: $2"
        echo "got:    $3"
        failed=1
    fi
}

expect 'most frequent first, then by name' '      2 zone
      1 build
      1 clone' "$(echo 'Zone clone, BUILD zone.' | "$tally")"

expect 'no more than asked for' '      3 a' "$(echo 'a b a c a b' | "$tally" -n 1)"

expect 'nothing to count' '' "$("$tally" </dev/null)"

# More words than the table begins with, so that it has to grow.
expect 'a thousand words' '      2 w1000
      1 w1' "$(awk 'BEGIN { for (i = 1; i <= 1000; i++) print "w" i; print "w1000" }' | "$tally" -n 2)"

expect 'several files' '      2 word' "$(
    echo word >check.tmp
    "$tally" check.tmp check.tmp
    rm -f check.tmp
)"

"$tally" /nonexistent 2>/dev/null
expect 'a file that is not there: exit status' 1 $?

"$tally" -n x 2>/dev/null
expect 'a number that is none: exit status' 2 $?

exit $failed
