"""How jobs run: who may run them (claims), where they run (executors), and what is known of them (plans)."""
