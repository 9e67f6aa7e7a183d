#!/bin/sh
# The `run` of every service directory that is made from an init script: it lies here, and is linked
# to, because the directories lie below /run, where some systems execute nothing.
. ./command
